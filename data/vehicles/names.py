"""Classes of brands."""

from collections.abc import Mapping

EXOTIC, PREMIUM, BUDGET = "exotic", "premium", "budget"

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    EXOTIC: (
        "aston martin", "bentley", "bugatti", "ferrari", "koenigsegg", "lamborghini", "lotus",
        "maserati", "maybach", "mclaren", "pagani", "porsche", "rolls royce",
    ),
    PREMIUM: (
        "acura", "alpine", "audi", "bmw", "cadillac", "genesis", "gmc", "hummer", "infiniti",
        "jaguar", "land rover", "lexus", "lincoln", "lucid", "lynk co", "mercedes benz", "nio",
        "polestar", "ram", "rivian", "tesla", "volvo", "xpeng", "zeekr",
    ),
    BUDGET: (
        "baic", "brilliance", "byd", "chana", "changan", "chery", "daewoo", "dfm", "dfsk",
        "dongfeng", "faw", "foton", "gaz", "geely", "great wall", "gwm", "hafei", "haima",
        "jac", "jmc", "lada", "lifan", "mahindra", "proton", "tata", "uaz", "wuling", "zotye",
    ),
}  # fmt: skip

BRAND_CLASSES: Mapping[str, str] = {
    brand: name for name, brands in _MEMBERS.items() for brand in brands
}
"""Class of a brand, by its folded name; brands without a class are ordinary ones."""
