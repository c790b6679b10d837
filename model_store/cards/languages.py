"""A card's texts, numbers, labels of groups and names of columns in one of its languages."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from model_store.cards.texts import TEXTS, Language
from shared.fields.car import CAR_FIELDS

_SPLIT_IN_FRENCH: Mapping[str, str] = {
    "out of bag": "arbres qui n'ont pas vu l'annonce (out-of-bag)",
    "baseline cross-fitted": "régression de base ajustée par validation croisée",
    "field dropout on": "champs retirés au hasard",
}
_SPLIT_UNKNOWN = "décrite dans le manifeste de la version, champ metrics.split"
_GROUPS_IN_FRENCH: Mapping[str, str] = {
    "all details": "tous les détails",
    "details missing": "détails manquants",
    "unusual figures": "chiffres inhabituels",
    "model unknown": "modèle inconnu",
    "brand unknown": "marque inconnue",
    "all others": "toutes les autres",
}
_BOUNDS_IN_FRENCH = ((re.compile(r"^up to "), "jusqu'à "), (re.compile(r"^over "), "plus de "))
_EFFECT = "effect_"
_BASELINE = "baseline_log"
_MINUS = "\N{MINUS SIGN}"
_EN_DASH = "\N{EN DASH}"
_RANGE = re.compile(r"(?<=\d)-(?=\d)")
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_SPACED = re.compile(r" (?=[;:?!»%])|(?<=«) ")


@dataclasses.dataclass(frozen=True, slots=True)
class CardTexts:
    """The texts of a card in one language."""

    language: Language

    def __call__(self, name: str, **values: object) -> str:
        """A text of `TEXTS` with its values."""
        return self.typographic(TEXTS[self.language][name].format(**values))

    def typographic(self, text: str) -> str:
        """A French text with its narrow spaces; an English one unchanged."""
        return _SPACED.sub(_THIN_SPACE, text) if self.language == "fr" else text

    def listed(self, texts: Mapping[Language, Sequence[str]]) -> list[str]:
        """The texts of a list."""
        return [self.typographic(text) for text in texts[self.language]]

    def number(self, value: float, decimals: int = 0, *, signed: bool = False) -> str:
        """A number with the separators of the language and a minus sign; 0 has no sign."""
        text = f"{value:{'+' if signed else ''}z,.{decimals}f}"
        if signed and not float(text.replace(",", "")):
            text = text.removeprefix("+")
        return self.separated(text.replace("-", _MINUS))

    def separated(self, text: str) -> str:
        """Numbers in English notation in that of the language."""
        if self.language == "en":
            return text
        return text.replace(",", _THIN_SPACE).replace(".", ",")

    def percent(self, value: float, decimals: int = 1, *, signed: bool = False) -> str:
        """A percentage with its sign."""
        return self.typographic(f"{self.number(value, decimals, signed=signed)} %")

    def split(self, split: str) -> str:
        """How the figures were measured; a French reader is referred to what is not translated."""
        if self.language == "en":
            return split
        parts = [_SPLIT_IN_FRENCH.get(part) for part in split.split(", ")]
        known = [part for part in parts if part is not None]
        return ", ".join(known) if len(known) == len(parts) else _SPLIT_UNKNOWN

    def known(self, name: str) -> str:
        """A name, such as that of the training data, translated if it is one of `TEXTS`."""
        return TEXTS[self.language].get(name, name)

    def group(self, label: str) -> str:
        """The label of a group of `model_store.training.card_predictions`; ranges have a dash."""
        label = _RANGE.sub(_EN_DASH, label)
        if self.language == "en":
            return label
        if label in _GROUPS_IN_FRENCH:
            return _GROUPS_IN_FRENCH[label]
        for english, french in _BOUNDS_IN_FRENCH:
            label = english.sub(french, label)
        return self.separated(label)

    def column(self, name: str) -> str:
        """The name of a column of the forest's matrix."""
        if self.language == "en":
            return name
        if name == _BASELINE:
            return "prix de la régression"
        field = CAR_FIELDS.get(name.removeprefix(_EFFECT))
        if field is None:
            return name
        return (
            f"effet{_THIN_SPACE}: {field.label_fr}"
            if name.startswith(_EFFECT)
            else (field.label_fr)
        )
