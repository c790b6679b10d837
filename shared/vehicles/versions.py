"""Words behind a model's name that name its version or count something."""

VERSION_WORDS = frozenset({
    "active", "adventure", "allure", "ambiente", "ambition", "automatique", "avantgarde", "brabus",
    "business", "cc", "city", "classic", "comfort", "confort", "cool", "cosmo", "coupe",
    "cross", "cup", "dynamic", "edition", "elegance", "elite", "essence", "exclusive",
    "executive", "express", "family", "feel", "flair", "gl", "gls", "glx", "gt", "gtd", "gte",
    "gti", "gtl", "high", "hybrid", "intens", "life", "line", "lounge", "luxe", "luxury",
    "max", "maxi", "mini", "nav", "note", "one", "pack", "plus", "pop", "premium", "prestige",
    "privilege", "pro", "pulse", "rs", "sedan", "shine", "signature", "spirit", "sport",
    "sports", "star", "street", "style", "sw", "tech", "techno", "titanium", "trend", "up",
    "urban", "van", "vogue", "wind", "zen",
})  # fmt: skip
"""Words that name versions, even if a model has the same name."""
COUNTED = frozenset(
    {"portes", "porte", "p", "places", "place", "pl", "cv", "ch", "hp", "vitesses", "vitesse"}
    | {"doors", "door", "seats", "seater", "cylindres", "motion", "soupapes", "kw", "kwh", "km"}
    | {"ere", "er", "eme", "main", "l", "litres", "rapports", "ans", "cles"}
)
"""A number before one of these words counts something."""
ENGINE_WORDS = frozenset(
    {
        "tdi",
        "tdci",
        "dci",
        "hdi",
        "bluehdi",
        "cdi",
        "cdti",
        "crdi",
        "jtd",
        "jtdm",
        "multijet",
        "mjt",
    }
    | {"mjt", "d4d", "dti", "ddis", "tce", "tsi", "tfsi", "fsi", "gti", "thp", "puretech", "vti"}
    | {"vvti", "ecoboost", "8v", "16v", "essence", "diesel", "gasoil", "petrol", "turbo", "d", "td"}
    | {"i"}
)
"""Words behind the size of an engine."""
GENERATION_WORDS = frozenset(
    {"mk", "gen", "generation", "serie", "series", "n", "no", "nr", "num", "numero"}
)
"""Words between a model and the number of its generation."""
ROMAN = {"ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}
