"""Words of a name that tell an electric or a plug-in hybrid car."""

import re
from collections.abc import Sequence

from shared.vehicles.catalogue import Brand, compact

_ELECTRIC_WORDS = frozenset(
    {"electrique", "electric", "elektrisch", "elektro", "electrica", "electrico", "elettrica"}
    | {"ev", "bev", "ze"}
)
_PLUG_IN_WORDS = frozenset({"phev", "plugin", "plug", "rechargeable", "recharge"})
_HYBRID_WORDS = frozenset({"hybrid", "hybride", "hybrides", "hev", "mhev", "ibrida"})
_EQUIPMENT = frozenset(
    {"antenne", "capote", "chauffage", "clim", "coffre", "commande", "direction", "fermeture"}
    | {"frein", "hayon", "main", "ouvrant", "ouverture", "panoramique", "porte", "reglage"}
    | {"retros", "retro", "retroviseur", "retroviseurs", "rideau", "siege", "sieges", "store"}
    | {"toit", "trottinette", "velo", "verrouillage", "vitre", "vitres", "volant", "volet"}
)
"""What may be electric in any car: "toit ouvrant électrique", "frein de parking électrique"."""
_MAX_WORDS_AFTER_EQUIPMENT = 3
"""Words from the equipment to the word "electric"."""
_BEFORE_EQUIPMENT = frozenset(
    {"handbrake", "mirror", "mirrors", "pack", "package", "parking", "roof", "seat", "seats"}
    | {"steering", "sunroof", "tailgate", "window", "windows"}
)
"""English words of equipment behind "electric"."""
_AFTER_E = frozenset(
    {"10", "85", "assist", "boost", "boxer", "cdi", "cvt", "dci", "dct", "drive", "four", "hdi"}
    | {"hybrid", "hybride", "max", "multijet", "power", "skyactiv", "tec", "tech", "tense", "torq"}
    | {"torque", "turbo", "vgt", "vtec"}
)
"""Words that an E belongs to, and that tell no electric car."""
_ADDING_E = frozenset({"citroen", "fiat", "mini", "opel", "peugeot", "volkswagen"})
"""Brands that call an electric car as its model and an E: "corsa e"."""
_MIN_NAME_BEFORE_E = 4
_COMBUSTION_WORDS = frozenset(
    {"diesel", "essence", "petrol", "gasoil", "gasoline", "tdi", "hdi", "dci", "tsi", "crdi"}
    | {"dtec", "mpi", "vtec"}
)
_ENGINE_SIZE = re.compile(r"\d\.\d")
_ELECTRIC_BRANDS = frozenset(
    {"lucid", "nio", "polestar", "rivian", "tesla", "vinfast", "xpeng", "zeekr"}
)
_ELECTRIC_MODELS = {
    brand: frozenset(names.split(", "))
    for brand, names in {
        "abarth": "600e",
        "aiways": "u5, u6",
        "alpine": "a290, a390",
        "audi": "e tron, e tron gt, a6 e tron, q4 e tron, q6 e tron, q8 e tron",
        "bmw": "i3, i4, i5, i7, ix, ix1, ix2, ix3",
        "byd": "atto 2, atto 3, dolphin, dolphin mini, dolphin surf, seagull, seal, sealion 7, "
        "yuan plus",
        "citroen": "ami, c zero, e c3, e c4",
        "cupra": "born, tavascan",
        "dacia": "spring",
        "fiat": "500e, 600e, topolino",
        "ford": "mustang mach e",
        "gac": "aion v, aion y",
        "geely": "ex2, ex5, geometry c",
        "gmc": "hummer ev",
        "gwm": "ora 03",
        "honda": "e ny1",
        "hongqi": "e hs9, ehs7",
        "hyundai": "inster, ioniq 5, ioniq 6, ioniq 9",
        "jac": "e30x, e j7",
        "jaguar": "i pace",
        "kia": "ev2, ev3, ev4, ev5, ev6, ev9",
        "leapmotor": "b10, t03",
        "lexus": "rz",
        "lotus": "eletre, emeya, evija",
        "mahindra": "be 6, xev 9e, xuv400",
        "maxus": "edeliver 3, euniq 5, mifa 9",
        "mercedes benz": "eqa, eqb, eqc, eqe, eqs, eqt, eqv, esprinter, evito",
        "mg": "comet, cyberster, marvel r, mg4, s5, windsor",
        "mini": "aceman",
        "mitsubishi": "i miev",
        "nissan": "ariya, leaf",
        "opel": "rocks e",
        "peugeot": "e 2008, e 208, e 3008, e 308, e 5008, ion",
        "porsche": "taycan",
        "renault": "5 e tech, megane e tech, scenic e tech, twizy, zoe",
        "rolls royce": "spectre",
        "skoda": "elroq, enyaq",
        "smart": "1, 3, 5",
        "ssangyong": "torres evx",
        "subaru": "solterra",
        "toyota": "bz4x",
        "volkswagen": "e golf, e up, id 3, id 4, id 5, id 6, id 7, id buzz, i d crozz, id unyx",
        "volvo": "c40, ec40, em90, es90, ex30, ex40, ex60, ex90",
        "wuling": "air ev, bingo",
    }.items()
}
"""Models that are sold as electric cars only."""


def other_motor(brand: Brand, name: str, rest: Sequence[str]) -> str | None:
    """The model that is meant if the words tell a motor that the model `name` need not have.

    Args:
        brand: the brand.
        name: the known model, or generation, that the text begins with.
        rest: the words behind it.

    Returns:
        The electric or plug-in model of the catalogue; `name` if there is none, so that the words
        are not read; None if no word tells such a motor or the model always has it.
    """
    is_plug_in = not _PLUG_IN_WORDS.isdisjoint(rest)
    if not is_plug_in and not _tells_electric(brand, name, rest):
        return None
    if brand.name in _ELECTRIC_BRANDS or name in _ELECTRIC_MODELS.get(brand.name, ()):
        return None
    if is_plug_in:
        base = _base(brand, name)
        return None if name.endswith(" phev") else brand.spellings.get(f"{base}phev", name)
    return _electric_model(brand, name) or name


def electric_of_letter(brand: Brand, name: str, rest: Sequence[str]) -> str | None:
    """The model that an E behind a name may mean, where it may be a version: "208 e", "kona e".

    Args:
        brand: the brand.
        name: the known model, or generation, that the text begins with.
        rest: the words behind it.

    Returns:
        The electric model of the catalogue; `name` if there is none; None if no E leaves a doubt.
    """
    if not rest or rest[0] != "e" or (len(rest) > 1 and rest[1] in _AFTER_E):
        return None
    is_electric = brand.name in _ELECTRIC_BRANDS or name in _ELECTRIC_MODELS.get(brand.name, ())
    if is_electric or _tells_electric(brand, name, rest):
        return None
    has_engine = not (_HYBRID_WORDS | _PLUG_IN_WORDS | _COMBUSTION_WORDS).isdisjoint(rest)
    if has_engine or any(map(_ENGINE_SIZE.fullmatch, rest)):
        return None
    return _electric_model(brand, name) or name


def _electric_model(brand: Brand, name: str) -> str | None:
    """The electric model with the name of another one; None if there is none."""
    base = _base(brand, name)
    spellings = [f"e{base}", f"{base}e", f"{base}etech", f"{base}etron", f"{base}ev", f"i{base}"]
    names = (brand.spellings.get(spelling) for spelling in spellings)
    electric = _ELECTRIC_MODELS.get(brand.name, frozenset())
    return next((each for each in names if each in electric), None)


def _base(brand: Brand, name: str) -> str:
    return compact(name.rpartition(" ")[0] if name in brand.generations else name)


def _tells_electric(brand: Brand, name: str, rest: Sequence[str]) -> bool:
    """Whether the words behind a model's name say that the car is electric."""
    others = _HYBRID_WORDS | _COMBUSTION_WORDS
    if not others.isdisjoint(rest) or any(map(_ENGINE_SIZE.fullmatch, rest)):
        return False
    if any(word in _ELECTRIC_WORDS and _is_motor(rest, place) for place, word in enumerate(rest)):
        return True
    if tuple(rest[:2]) == ("z", "e"):
        return True
    if not rest or rest[0] != "e" or brand.name not in _ADDING_E:
        return False
    is_word = name.isalpha() and len(name) >= _MIN_NAME_BEFORE_E
    return is_word and (len(rest) == 1 or rest[1] not in _AFTER_E)


def _is_motor(rest: Sequence[str], place: int) -> bool:
    """Whether the electric word at a place is about the motor, and not some equipment."""
    before = rest[max(place - _MAX_WORDS_AFTER_EQUIPMENT, 0) : place]
    if not _EQUIPMENT.isdisjoint(before) or before[-1:] == ["pack"]:
        return False
    return rest[place] != "electric" or _BEFORE_EQUIPMENT.isdisjoint(rest[place + 1 : place + 2])


def hybrid_base(brand: Brand, name: str, rest: Sequence[str]) -> str | None:
    """The model that shares the name of an electric one, if the words tell a hybrid: "e-tech phev".

    Args:
        brand: the brand.
        name: the known model that the text begins with.
        rest: the words behind its first one.
    """
    base = name.removesuffix(" e tech")
    if base == name or base not in brand.models:
        return None
    return None if (_HYBRID_WORDS | _PLUG_IN_WORDS).isdisjoint(rest) else base
