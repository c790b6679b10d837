"""French and English texts of what is noticed about a file."""

from shared.messages.uploads import Texts

FRENCH_UNITS = {"thousand km": "milliers de km"}
"""Names of units in French, as far as they differ."""

NOTICE_MESSAGES: dict[str, Texts] = {
    "data-old": {
        "fr": "La plupart des annonces du modèle ont au moins {values} mois : le marché a pu "
        "changer depuis, et les intervalles sont élargis en conséquence.",
        "en": "Most listings of the model are at least {values} months old: the market may have "
        "changed since, and the intervals are widened accordingly.",
    },
    "columns-without-effect": {
        "fr": "Sans effet sur les prix de ce modèle, quelle que soit la valeur : {values}.",
        "en": "Without an effect on the prices of this model, whatever the value: {values}.",
    },
    "near-header": {
        "fr": "Le titre « {values} » n'est pas connu, mais presque : il est lu comme « {label} ». "
        "Sinon : ?columns=.",
        "en": "Header {values} is not known, but nearly: it is read as {label}. If it is not, "
        "use ?columns=.",
    },
    "no-header": {
        "fr": "Pas de ligne de titres : la première ligne est une voiture. Colonnes reconnues : "
        "{values}. Pour en désigner d'autres : ?columns=champ:#numéro ; si la première ligne porte "
        "les titres : ?header=yes.",
        "en": "No header row: the first row is a car. Columns recognised: {values}. To name "
        "others: ?columns=field:#number; if the first row is the header: ?header=yes.",
    },
    "other-column": {
        "fr": "Plusieurs colonnes peuvent être « {label} » : « {column} » est lue, {values} ne "
        "l'est pas.",
        "en": "Several columns could be {label}: {column} is read, {values} is not.",
    },
    "contradicting-columns": {
        "fr": "Plusieurs colonnes peuvent être « {label} » et ne disent pas la même chose : "
        "{values}. Aucune n'est lue ; choisissez avec ?columns=.",
        "en": "Several columns could be {label} and contradict each other: {values}. None is read; "
        "choose one by ?columns=.",
    },
    "constant-over-column": {
        "fr": "« {label} » est la valeur commune donnée à l'envoi ; colonne du fichier qui n'est "
        "pas lue : {values}.",
        "en": "{label} is the constant stated with the upload; column of the file that is not "
        "read: {values}.",
    },
    "title-column": {
        "fr": "Marque et modèle sont lus dans la colonne « {values} ».",
        "en": "Brand and model are read from column {values}.",
    },
    "unit-converted": {
        "fr": "Colonne « {column} » : indiquée en {values}, convertie en {unit}.",
        "en": "Column {column}: stated in {values}, converted to {unit}.",
    },
    "mixed-units": {
        "fr": "La colonne « {values} » mélange plusieurs unités : elle n'est pas lue.",
        "en": "Column {values} mixes several units: it is not read.",
    },
    "units-by-row": {
        "fr": "Colonne « {column} » : chaque ligne est lue dans l'unité ou la monnaie de sa "
        "colonne « {values} » ; sans unité connue, la valeur est ignorée.",
        "en": "Column {column}: each row is read in the unit or currency that its column {values} "
        "states; a value without a known unit is ignored.",
    },
    "units-below-header": {
        "fr": "La ligne sous les titres indique des unités ({values}) ; ce n'est pas une voiture.",
        "en": "The row below the header states units ({values}); it is no car.",
    },
    "units-above-header": {
        "fr": "La ligne au-dessus des titres indique des unités : {values}.",
        "en": "The row above the header states units: {values}.",
    },
    "unclear-unit": {
        "fr": "Colonne « {column} » : son unité n'est pas claire ({values}) ; seules ses valeurs "
        "qui indiquent leur unité sont lues. Écrivez-la dans le titre : « {label} ({unit}) », "
        "par exemple.",
        "en": "Column {column}: its unit is not clear ({values}); only those of its values are "
        "read that state their unit. Write it in the header: {label} ({unit}), for example.",
    },
    "shared-affix": {
        "fr": "Les titres sont lus sans ce que plusieurs ont en commun : « {values} ». Sinon : "
        "?columns=.",
        "en": "Headers are read without what several have in common: {values}. If that is wrong, "
        "use ?columns=.",
    },
    "read-where-blank": {
        "fr": "Colonne « {column} » : là où elle est vide, la valeur est lue dans une autre "
        "colonne : {values}.",
        "en": "Column {column}: where it is blank, the value is read from another column: "
        "{values}.",
    },
    "unpriced-constant": {
        "fr": "« {label} » : la valeur commune donnée à l'envoi ({values}) est estimée au mieux "
        "comme endommagée, faute d'annonces comparables ; une telle voiture vaut moins.",
        "en": "{label}: the constant stated with the upload ({values}) is valued as damaged at "
        "best, for lack of comparable listings; such a car is worth less.",
    },
    "open-range-constant": {
        "fr": "« {label} » : la valeur commune donnée à l'envoi est une tranche ouverte, lue comme "
        "sa borne ({values}).",
        "en": "{label}: the constant stated with the upload is an open range, read as its bound "
        "({values}).",
    },
    "foreign-currency": {
        "fr": "Les prix ne sont pas en dirhams (colonne, monnaie : {values}) : ils ne sont pas "
        "comparés aux estimations.",
        "en": "The prices are not in dirhams (column, currency: {values}): they are not compared "
        "with the estimates.",
    },
    "price-scale": {
        "fr": "La colonne « {values} » compte en milliers : ces prix ne sont pas comparés aux "
        "estimations. Donnez-les en dirhams.",
        "en": "Column {values} counts in thousands: these prices are not compared with the "
        "estimates. State them in dirhams.",
    },
    "row-names": {
        "fr": "Chaque ligne a une cellule de plus que la ligne de titres : la première est prise "
        "pour le nom de la ligne ({values}).",
        "en": "Each row has one cell more than the header: the first one is taken for the name of "
        "the row ({values}).",
    },
    "repeated-keys": {
        "fr": "La colonne key_column ne distingue pas toutes les lignes (répété ou vide : "
        "{values}) ; les rapports donnent aussi le numéro de ligne.",
        "en": "The key_column does not tell all rows apart (repeated or empty: {values}); the "
        "reports state the line, too.",
    },
    "assumed-encoding": {
        "fr": "Encodage reconnu à ses mots : {values}. Sinon : ?encoding=.",
        "en": "Encoding recognised by its words: {values}. If it is another one, use ?encoding=.",
    },
    "other-charset": {
        "fr": "L'envoi annonce un autre encodage que celui du fichier (annoncé, lu : {values}).",
        "en": "The upload states another encoding than that of the file (stated, read: {values}).",
    },
    "misread-text": {
        "fr": "Le fichier est encodé deux fois : ses lettres accentuées avaient été lues en "
        "{values}. Elles sont rétablies.",
        "en": "The file is encoded twice: its accented letters had been read as {values}. They are "
        "restored.",
    },
    "quoted-lines": {
        "fr": "Chaque ligne entière est entre guillemets ; ils sont retirés.",
        "en": "Each whole line stands in quotes; these are removed.",
    },
    "space-before-quotes": {
        "fr": "Des espaces précèdent les guillemets ; ils sont ignorés.",
        "en": "Spaces before quotes are ignored.",
    },
    "litres": {
        "fr": "Colonne {column} : lue en litres là où le nombre est inférieur à dix ({values}).",
        "en": "Column {column}: read as litres where the number is less than ten ({values}).",
    },
    "unit-not-stated": {
        "fr": "Colonne « {column} » : l'unité n'est pas indiquée, lue en km. Si ce sont des "
        "miles, écrivez-le dans le titre : « {column} (miles) ».",
        "en": "Column {column}: its unit is not stated, read as km. If it is in miles, write so "
        "in its header: {column} (miles).",
    },
    "unknown-category": {
        "fr": "Colonne {column} : mots inconnus, ignorés ({values}).",
        "en": "Column {column}: unknown words, ignored ({values}).",
    },
    "titles-left-out": {
        "fr": "Lignes au-dessus des titres de colonnes, laissées de côté : {values}.",
        "en": "Rows above the header, left out: {values}.",
    },
    "options-without-use": {
        "fr": "Sans effet sur un fichier de ce format : {values}.",
        "en": "Of no use for a file of this format: {values}.",
    },
    "other-sheets": {
        "fr": "Autres feuilles, non lues : {values}. Choisissez avec ?sheet=.",
        "en": "Other sheets, not read: {values}. Choose one with ?sheet=.",
    },
    "mixed-encodings": {
        "fr": "Le fichier mélange deux encodages : {values} lettres accentuées sont en UTF-8 et "
        "seront lues de travers. Enregistrez-le entier en UTF-8 et déposez-le à nouveau.",
        "en": "The file mixes two encodings: {values} accented letters are UTF-8 and will be "
        "misread. Save all of it as UTF-8 and upload it again.",
    },
    "hidden-rows": {
        "fr": "Nombre de lignes masquées de la feuille, lues comme les autres : {values}.",
        "en": "Number of hidden rows of the sheet, which were read like the others: {values}.",
    },
    "hidden-columns": {
        "fr": "Colonnes masquées de la feuille, lues comme les autres : {values}.",
        "en": "Hidden columns of the sheet, which were read like the others: {values}.",
    },
    "hidden-sheet": {
        "fr": "La feuille lue est masquée dans le classeur : {values}.",
        "en": "The sheet that was read is hidden in the workbook: {values}.",
    },
    "merged-cells": {
        "fr": "Nombre de cellules qui ont reçu la valeur de leur bloc de cellules fusionnées : "
        "{values}.",
        "en": "Number of cells that were given the value of their block of merged cells: {values}.",
    },
    "formulas-without-values": {
        "fr": "Nombre de formules sans valeur enregistrée, lues comme des cellules vides : "
        "{values}. Ouvrez le classeur dans Excel ou LibreOffice et enregistrez-le pour les "
        "calculer.",
        "en": "Number of formulas without a saved value, read as blank cells: {values}. Open the "
        "workbook in Excel or LibreOffice and save it to compute them.",
    },
    "cells-beyond-header": {
        "fr": "Cellules à droite du dernier titre de colonne, laissées de côté ; lignes : "
        "{values}.",
        "en": "Cells to the right of the last column name, left out; rows: {values}.",
    },
    "macros-ignored": {
        "fr": "Les macros du classeur ne sont ni lues ni exécutées.",
        "en": "The workbook's macros are neither read nor run.",
    },
}
"""Remarks on an uploaded file that are no errors, by code."""

NOTICE_SCOPE: Texts = {
    "fr": " Vu dans les {rows} premières lignes ; les suivantes sont lues de la même façon.",
    "en": " Seen in the first {rows} rows; those that follow are read in the same way.",
}
"""Appended to a notice that is based on the first rows only."""
