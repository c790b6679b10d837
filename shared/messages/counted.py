"""French and English texts of remarks that are counted over the rows of a batch."""

from shared.messages.uploads import Texts

COUNTED_MESSAGES: dict[str, Texts] = {
    "unreadable-cells": {
        "fr": "Colonne {column} : valeurs non lues et ignorées, leurs lignes sont estimées sans "
        "elles : {count} ({values}).",
        "en": "Column {column}: values not read and ignored, their rows are valued without them: "
        "{count} ({values}).",
    },
    "converted": {
        "fr": "Colonne {column} : valeurs converties de l'unité indiquée : {count} ({values}).",
        "en": "Column {column}: values converted from the unit that they state: {count} "
        "({values}).",
    },
    "unpriced": {
        "fr": "Colonne {column} : valeurs estimées au mieux comme endommagées, faute "
        "d'annonces comparables ; une telle voiture vaut moins : {count} ({values}).",
        "en": "Column {column}: values that are valued as damaged at best, for lack of "
        "comparable listings; such a car is worth less: {count} ({values}).",
    },
    "misspelt": {
        "fr": "Colonne {column} : mots lus avec une faute de frappe supposée : {count} ({values}).",
        "en": "Column {column}: words read in spite of a typing error: {count} ({values}).",
    },
    "open-range": {
        "fr": "Colonne {column} : tranches ouvertes, lues comme leur borne : {count} ({values}).",
        "en": "Column {column}: open ranges, read as their bound: {count} ({values}).",
    },
    "unknown-unit": {
        "fr": "Colonne {column} : valeurs ignorées, faute d'unité connue : {count} ({values}).",
        "en": "Column {column}: values ignored, for lack of a known unit: {count} ({values}).",
    },
    "km-high": {
        "fr": "Colonne {column} : kilométrages très élevés pour l'âge de la voiture, à vérifier : "
        "{count} ({values}).",
        "en": "Column {column}: mileages that are very high for the car's age, please check: "
        "{count} ({values}).",
    },
    "km-low": {
        "fr": "Colonne {column} : kilométrages très bas pour l'âge de la voiture, à vérifier "
        "(sont-ce des milliers ?) : {count} ({values}).",
        "en": "Column {column}: mileages that are very low for the car's age, please check "
        "(are these thousands?): {count} ({values}).",
    },
    "unit-changed": {
        "fr": "Colonne {column} : lignes lues dans l'unité qu'indique une ligne de titres ou "
        "d'unités au milieu du fichier : {count} ({values}).",
        "en": "Column {column}: rows read in the unit that a header or a row of units in the "
        "middle of the file states: {count} ({values}).",
    },
    "unclear-unit": {
        "fr": "Colonne {column} : unité qui n'est plus claire sous une ligne de titres ou "
        "d'unités au milieu du fichier : {count} lignes, dont seules les valeurs qui indiquent "
        "leur unité sont lues.",
        "en": "Column {column}: its unit is not clear below a header or a row of units in the "
        "middle of the file: {count} rows, of which only values that state their unit are read.",
    },
    "foreign-currency": {
        "fr": "Colonne {column} : prix dans une autre monnaie que le dirham, sans avis : {count} "
        "({values}).",
        "en": "Column {column}: prices in another currency than the dirham, without a verdict: "
        "{count} ({values}).",
    },
    "missing-field": {
        "fr": "{column} : lignes sans valeur utilisable, dont le prix est une moyenne moins sûre : "
        "{count}.",
        "en": "{column}: rows without a usable value, whose price is a less certain average: "
        "{count}.",
    },
    "name-corrected": {
        "fr": "Modèles lus autrement qu'ils ne sont écrits (faute de frappe, marque absente) : "
        "{count} ({values}).",
        "en": "Models read otherwise than written (typing error, brand missing): {count} "
        "({values}).",
    },
    "name-ambiguous": {
        "fr": "Modèles incertains, estimés avec un intervalle plus large : {count} ({values}).",
        "en": "Uncertain models, valued with a wider interval: {count} ({values}).",
    },
    "name-unknown": {
        "fr": "Marques ou modèles inconnus, estimés avec un intervalle plus large : {count} "
        "({values}).",
        "en": "Unknown brands or models, valued with a wider interval: {count} ({values}).",
    },
    "model-unknown": {
        "fr": "Modèles sans statistiques, estimés avec un intervalle plus large : {count} "
        "({values}).",
        "en": "Models without statistics, valued with a wider interval: {count} ({values}).",
    },
    "brand-unknown": {
        "fr": "Marques absentes des données, dont le prix peut être loin du vrai : {count} "
        "({values}).",
        "en": "Brands that are not in the data, whose prices can be far from the true ones: "
        "{count} ({values}).",
    },
    "extrapolated": {
        "fr": "{column} : valeurs dont presque aucune annonce du modèle n'approche ; prix "
        "extrapolés, avec un intervalle élargi : {count} ({values}).",
        "en": "{column}: values that hardly any listing of the model is near; prices are "
        "extrapolated, with a wider interval: {count} ({values}).",
    },
    "out-of-listed-range": {
        "fr": "{column} : valeurs hors de l'étendue de toutes les annonces ; prix extrapolés, avec "
        "un intervalle élargi : {count} ({values}).",
        "en": "{column}: values outside the range of all listings; prices are extrapolated, with a "
        "wider interval: {count} ({values}).",
    },
    "unseen-in-model": {
        "fr": "{column} : valeurs que presque aucune annonce du modèle n'a, estimées d'après "
        "d'autres voitures, avec un intervalle élargi : {count} ({values}).",
        "en": "{column}: values that hardly any listing of the model has, priced by other cars, "
        "with a wider interval: {count} ({values}).",
    },
    "no-effect": {
        "fr": "{column} : valeurs sans effet sur les prix, que le modèle ne connaît pas : "
        "{count} ({values}).",
        "en": "{column}: values without an effect on the prices, which the model does not know: "
        "{count} ({values}).",
    },
    "asking-prices-low": {
        "fr": "{count} des {values} prix demandés sont au-dessous de leur intervalle : sont-ils en "
        "dirhams, et en unités ?",
        "en": "{count} of {values} asking prices are below their interval: are they in dirhams, "
        "and in single units?",
    },
    "asking-prices-high": {
        "fr": "{count} des {values} prix demandés sont au-dessus de leur intervalle : sont-ils en "
        "dirhams ?",
        "en": "{count} of {values} asking prices are above their interval: are they in dirhams?",
    },
}
"""Remarks on the rows of a batch, by code, counted at its end."""
