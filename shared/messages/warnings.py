"""French and English texts of warnings: what is remarked on a valuation, by code."""

from shared.domain.valuation import EXTRAPOLATED
from shared.messages.uploads import Texts

WARNING_MESSAGES: dict[str, Texts] = {
    "unknown-field": {"fr": "Champ inconnu, ignoré.", "en": "Unknown field, ignored."},
    "misnamed-field": {
        "fr": "Champ inconnu, ignoré ; le champ voulu est peut-être « {name} ».",
        "en": "Unknown field, ignored; `{name}` may be meant.",
    },
    "more-unknown-fields": {
        "fr": "Autres champs inconnus, ignorés : {count}.",
        "en": "More unknown fields, ignored: {count}.",
    },
    "unknown-category": {
        "fr": "Valeur inconnue, ignorée ; attendu : {expected}.",
        "en": "Unknown value, ignored; expected {expected}.",
    },
    "litres": {
        "fr": "Moins de dix : lu en litres et converti en cm3.",
        "en": "Less than ten: read as litres and converted to cc.",
    },
    "converted": {
        "fr": "Converti à partir de l'unité indiquée.",
        "en": "Converted from the unit that is stated.",
    },
    "unpriced": {
        "fr": "Estimée comme une voiture endommagée, faute d'annonces comparables : une voiture "
        "pour pièces vaut moins.",
        "en": "Valued as a damaged car, for lack of comparable listings: a car for parts is worth "
        "less.",
    },
    "no-effect": {
        "fr": "Sans effet sur ce prix : les données du modèle ne disent rien de cette valeur.",
        "en": "No effect on this price: the model's data say nothing about this value.",
    },
    "unseen-in-model": {
        "fr": "Presque aucune annonce de ce modèle n'a cette valeur : son effet est déduit "
        "d'autres voitures, et l'intervalle est élargi.",
        "en": "Hardly any listing of this model has this value: its effect is derived from other "
        "cars, and the interval is widened.",
    },
    "extrapolated": {
        "fr": "Presque aucune annonce de ce modèle n'approche cette valeur : le prix est "
        "extrapolé, moins sûr, et l'intervalle est élargi.",
        "en": "Hardly any listing of this model is near this value: the price is extrapolated and "
        "less certain, and the interval is widened.",
    },
    "out-of-listed-range": {
        "fr": "Hors de l'étendue de toutes les annonces : le prix est extrapolé, moins sûr, et "
        "l'intervalle est élargi.",
        "en": "Outside the range of all listings: the price is extrapolated and less certain, and "
        "the interval is widened.",
    },
    "misspelt": {
        "fr": "Faute de frappe supposée : lu comme {read_as}.",
        "en": "Taken for a typing error: read as {read_as}.",
    },
    "open-range": {
        "fr": "Tranche ouverte : une valeur de cette tranche est supposée.",
        "en": "Open range: a value inside it is assumed.",
    },
    "km-high": {
        "fr": "Très élevé pour l'âge de la voiture ; à vérifier : à ce kilométrage, l'estimation "
        "est peu fiable, même avec un intervalle élargi.",
        "en": "Very high for the car's age; please check: with so many kilometres, the estimate "
        "is not reliable, even with a wider interval.",
    },
    "km-low": {
        "fr": "Très bas pour l'âge de la voiture ; à vérifier : sont-ce des milliers ?",
        "en": "Very low for the car's age; please check: are these thousands?",
    },
    "name-corrected": {
        "fr": "Faute de frappe supposée : lu comme {read_as}.",
        "en": "Taken for a typing error: read as {read_as}.",
    },
    "name-ambiguous": {
        "fr": "Modèle incertain : rien n'est supposé, l'intervalle est plus large ; "
        "vouliez-vous dire {suggestions} ?",
        "en": "Uncertain model: nothing is assumed, the interval is wider; "
        "did you mean {suggestions}?",
    },
    "name-partly-read": {
        "fr": "Modèle incertain : estimé comme {read_as}, le reste du nom n'est pas compris.",
        "en": "Uncertain model: valued as {read_as}, the rest of the name is not understood.",
    },
    "missing-field": {
        "fr": "« {label} » manque : le prix est une moyenne de ce qui est usuel pour cette "
        "voiture, donc moins sûr.",
        "en": "{label} is not stated: the price is an average of what is usual for this car, and "
        "less certain.",
    },
    "model-unknown": {
        "fr": "Modèle absent des données : le prix vient des autres champs, et l'intervalle est "
        "plus large ; un prix demandé ne peut pas être jugé.",
        "en": "Model not in the data: the price comes from the other fields, and the interval is "
        "wider; an asking price cannot be judged by it.",
    },
    "brand-unknown": {
        "fr": "Marque absente des données, elle aussi : le prix peut être loin du vrai.",
        "en": "Brand not in the data either: the price can be far from the true one.",
    },
    "data-old": {
        "fr": "La plupart des annonces du modèle ont au moins {months} mois : le marché a pu "
        "changer depuis, et l'intervalle est élargi en conséquence.",
        "en": "Most listings of the model are at least {months} months old: the market may have "
        "changed since, and the interval is widened accordingly.",
    },
}

_BY_MODEL = frozenset({"year", "km_driven"})
"""Numbers that are compared with the listings of the car's model; others with all listings."""


def message_code(code: str, field: str) -> str:
    """The code of the message about a field: a number is extrapolated for two reasons."""
    if code == EXTRAPOLATED and field not in _BY_MODEL:
        return "out-of-listed-range"
    return code
