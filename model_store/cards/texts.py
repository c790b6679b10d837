"""Texts of the model card in English and French."""

from collections.abc import Mapping, Sequence
from typing import Literal

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = ("en", "fr")

_ENGLISH: Mapping[str, str] = {
    "title": "Model card {version}",
    "about": "Prices used cars in Morocco, in dirhams, with intervals. {estimator} of {trees} "
    "trees ({nodes} nodes) on the residual of a hedonic ridge regression of the log price.",
    "made": "made",
    "made-at": "{time} UTC",
    "level-of": "quotes the level of",
    "basis": "basis",
    "asking_prices": "asking prices",
    "libraries": "libraries",
    "schema": "schema",
    "use": "Intended use",
    "limits": "Limits",
    "data": "Training data",
    "listings": "listings",
    "name": "name",
    "reference market": "reference market",
    "listed": "listed",
    "months": "{first} to {last}",
    "not-dated": "not dated",
    "fingerprint": "fingerprint (SHA-256)",
    "seed": "seed",
    "generated": "This version is trained on a GENERATED market: listings drawn by a seeded "
    "program from statistics of real asking prices (every figure from ten listings or more). The "
    "figures below say how well the forest finds those statistics again. They are no measurement "
    "on real cars: that is what 'carprice evaluate' is for, and docs/market.md states its result.",
    "operators": "This version is trained on listings that its operator supplied. The figures "
    "below are of those listings, each priced by trees and a baseline that did not see it.",
    "licences": "Licences",
    "quality": "Quality",
    "split": "How it was measured: {split}.",
    "figure": "figure",
    "value": "value",
    "median-error": "median absolute error",
    "mean-error": "mean absolute error",
    "mean-error-value": "{mae} MAD ({mape})",
    "r2": "R²",
    "r2-log": "R² of the log price",
    "r2-baseline": "the same, baseline alone",
    "inside": "inside the 90 % interval",
    "by-level": "By what was told of the car:",
    "information": "information",
    "estimates": "Estimates and asking prices",
    "predicted-alt": "Estimates against asking prices, counted in hexagons",
    "hexagons": "Hexagons with fewer than ten listings are left empty.",
    "by-price": "By price",
    "tenths": "Tenths of the estimates: what a caller sees. Tenths of the asking prices would pick "
    "listings by their own error.",
    "error-by-price-alt": "Median absolute error by tenth of the estimates",
    "coverage-by-price-alt": "Coverage of the 90 % interval by tenth of the estimates",
    "estimated-thousand": "estimated (thousand MAD)",
    "by-age": "By age",
    "error-by-age-alt": "Median absolute error by age of the car",
    "coverage-by-age-alt": "Coverage of the 90 % interval by age of the car",
    "age": "age (years)",
    "by-brand": "By brand",
    "error-by-brand-alt": "Median absolute error by brand",
    "brand": "brand",
    "importance": "What the forest looks at",
    "importance-alt": "Weight of each column in the forest",
    "weights": "Weights of the forest alone (mean decrease in impurity), which corrects the "
    "baseline: a field that the baseline has explained already has little left to say here.",
    "column-median-error": "median error",
    "bias": "bias",
    "column-inside": "inside 90 %",
    "axis-asked": "Asked (MAD)",
    "axis-estimated": "Estimated (MAD)",
    "axis-estimated-thousand": "Estimated (thousand MAD)",
    "axis-age": "Age (years)",
    "axis-brand": "Brand",
    "axis-error": "Median absolute error (%)",
    "axis-inside": "Inside the 90 % interval (%)",
    "axis-weight": "Weight in the forest (%)",
    "equal": "estimate = asked",
    "nominal": "nominal",
    "measured": "measured",
}
_FRENCH: Mapping[str, str] = {
    "title": "Fiche du modèle {version}",
    "about": "Estime en dirhams le prix de voitures d'occasion au Maroc, avec des intervalles. "
    "{estimator} de {trees} arbres ({nodes} nœuds) sur le résidu d'une régression hédonique ridge "
    "du logarithme du prix.",
    "made": "créé le",
    "made-at": "{time} UTC",
    "level-of": "niveau de prix de",
    "basis": "base",
    "asking_prices": "prix demandés",
    "libraries": "bibliothèques",
    "schema": "format",
    "use": "Usage prévu",
    "limits": "Limites",
    "data": "Données d'entraînement",
    "listings": "annonces",
    "name": "nom",
    "reference market": "marché de référence",
    "listed": "mois des annonces",
    "months": "de {first} à {last}",
    "not-dated": "sans date",
    "fingerprint": "empreinte (SHA-256)",
    "seed": "graine aléatoire",
    "generated": "Cette version est entraînée sur un marché GÉNÉRÉ : des annonces tirées au sort, "
    "avec une graine fixe, d'après des statistiques de prix demandés réels (chaque chiffre vient "
    "d'au moins dix annonces). Les chiffres ci-dessous disent à quel point la forêt retrouve ces "
    "statistiques. Ce ne sont pas des mesures sur de vraies voitures : « carprice evaluate » sert "
    "à cela, et docs/market.md en donne le résultat.",
    "operators": "Cette version est entraînée sur des annonces fournies par son exploitant. Les "
    "chiffres ci-dessous portent sur ces annonces, chacune estimée par des arbres et une "
    "régression qui ne l'avaient pas vue.",
    "licences": "Licences",
    "quality": "Qualité",
    "split": "Méthode de mesure : {split}.",
    "figure": "mesure",
    "value": "valeur",
    "median-error": "erreur absolue médiane",
    "mean-error": "erreur absolue moyenne",
    "mean-error-value": "{mae} MAD ({mape})",
    "r2": "R²",
    "r2-log": "R² du logarithme du prix",
    "r2-baseline": "le même, régression de base seule",
    "inside": "dans l'intervalle à 90 %",
    "by-level": "Selon ce qui était connu de la voiture :",
    "information": "information",
    "estimates": "Estimations et prix demandés",
    "predicted-alt": "Estimations en fonction des prix demandés, comptées par hexagone",
    "hexagons": "Les hexagones de moins de dix annonces restent vides.",
    "by-price": "Par prix",
    "tenths": "Dixièmes des estimations : c'est ce que voit l'utilisateur. Des dixièmes des prix "
    "demandés choisiraient les annonces d'après leur propre erreur.",
    "error-by-price-alt": "Erreur absolue médiane par dixième des estimations",
    "coverage-by-price-alt": "Couverture de l'intervalle à 90 % par dixième des estimations",
    "estimated-thousand": "estimation (milliers de MAD)",
    "by-age": "Par âge",
    "error-by-age-alt": "Erreur absolue médiane par âge de la voiture",
    "coverage-by-age-alt": "Couverture de l'intervalle à 90 % par âge de la voiture",
    "age": "âge (ans)",
    "by-brand": "Par marque",
    "error-by-brand-alt": "Erreur absolue médiane par marque",
    "brand": "marque",
    "importance": "Ce que regarde la forêt",
    "importance-alt": "Poids de chaque colonne dans la forêt",
    "weights": "Poids dans la forêt seule (baisse moyenne d'impureté), qui corrige la régression "
    "de base : un champ que la régression explique déjà n'apporte plus grand-chose ici.",
    "column-median-error": "erreur médiane",
    "bias": "biais",
    "column-inside": "dans les 90 %",
    "axis-asked": "Prix demandé (MAD)",
    "axis-estimated": "Estimation (MAD)",
    "axis-estimated-thousand": "Estimation (milliers de MAD)",
    "axis-age": "Âge (ans)",
    "axis-brand": "Marque",
    "axis-error": "Erreur absolue médiane (%)",
    "axis-inside": "Dans l'intervalle à 90 % (%)",
    "axis-weight": "Poids dans la forêt (%)",
    "equal": "estimation = prix demandé",
    "nominal": "visé",
    "measured": "mesuré",
}
TEXTS: Mapping[Language, Mapping[str, str]] = {"en": _ENGLISH, "fr": _FRENCH}

USE: Mapping[Language, Sequence[str]] = {
    "en": (
        "Meant for: a first idea of what a used passenger car is asked for in Morocco.",
        "Meant for: a check whether an asking price is usual; the value of a stock as a whole.",
        (
            "Not meant for: a sale price, an expert's appraisal, insurance, court, decisions on a "
            "person."
        ),
        "Not meant for: lorries, motorcycles, collectors' cars, wrecks, other countries.",
    ),
    "fr": (
        "Prévu pour : une première idée du prix demandé d'une voiture d'occasion au Maroc.",
        "Prévu pour : vérifier qu'un prix demandé est usuel ; la valeur d'un stock entier.",
        (
            "Pas prévu pour : un prix de vente, une expertise, une assurance, la justice, une "
            "décision concernant une personne."
        ),
        "Pas prévu pour : camions, motos, voitures de collection, épaves, autres pays.",
    ),
}
LIMITS: Mapping[Language, Sequence[str]] = {
    "en": (
        "Prices are asking prices: what sellers hope for, usually above what is paid.",
        "The level is that of the month named above; nothing after it is known to the model.",
        "It knows only the fields of the form: no accident, no service record, no photograph.",
        (
            "A model that is not in the data is priced from brand and features, and the answer "
            "says so."
        ),
        "Dear and rare cars are few: their errors in dirhams are the largest.",
    ),
    "fr": (
        (
            "Les prix sont des prix demandés : ce que les vendeurs espèrent, en général plus que "
            "le prix payé."
        ),
        (
            "Le niveau de prix est celui du mois indiqué ci-dessus ; le modèle ne sait rien de la "
            "suite."
        ),
        (
            "Il ne connaît que les champs du formulaire : ni accident, ni carnet d'entretien, ni "
            "photo."
        ),
        (
            "Un modèle de voiture absent des données est estimé d'après sa marque et ses "
            "caractéristiques, et la réponse le dit."
        ),
        (
            "Les voitures chères et rares sont peu nombreuses : leurs erreurs en dirhams sont les "
            "plus grandes."
        ),
    ),
}
LICENCES: Mapping[Language, Sequence[str]] = {
    "en": (
        "Program and reference market: MIT (file LICENSE).",
        "Listings that an operator trains on stay under their own licence.",
        "No listing is in this card or in the version's files.",
    ),
    "fr": (
        "Programme et marché de référence : MIT (fichier LICENSE).",
        "Les annonces sur lesquelles un exploitant entraîne gardent leur propre licence.",
        "Aucune annonce ne figure dans cette fiche ni dans les fichiers de la version.",
    ),
}
