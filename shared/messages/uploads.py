"""Messages about uploaded files, in French and English, by code."""

from typing import Literal

Texts = dict[Literal["fr", "en"], str]
ProblemTexts = dict[Literal["fr", "en"], tuple[str, str]]
"""Title and detail."""

UPLOAD_MESSAGES: dict[str, Texts] = {
    "empty-file": {
        "fr": "Le fichier est vide ; attendu : une ligne de titres, puis une voiture par ligne.",
        "en": "The file is empty; expected a header line, then one car a line.",
    },
    "no-rows": {
        "fr": "Le fichier n'a que sa ligne de titres ; au moins une voiture est attendue.",
        "en": "The file has a header line only; expected at least one car.",
    },
    "binary-file": {
        "fr": "Ligne {line} : octets nuls ; un fichier texte CSV est attendu.",
        "en": "Line {line} holds NUL bytes; expected a CSV text file.",
    },
    "line-too-long": {
        "fr": "La ligne {line} dépasse {maximum} octets ; un CSV avec une voiture par ligne est "
        "attendu.",
        "en": "Line {line} is longer than {maximum} bytes; expected a CSV with one car a line.",
    },
    "too-many-columns": {
        "fr": "Au plus {maximum} colonnes (trouvé : {count}).",
        "en": "At most {maximum} columns (found {count}).",
    },
    "missing-column": {
        "fr": "Colonnes nécessaires qui manquent (avec les titres reconnus) : {columns}. Titres "
        "trouvés : {found}. Si l'un d'eux désigne une de ces colonnes, dites-le : {mapping} "
        "(champ:titre, ou champ:#3 pour la troisième colonne ; entre eux, des virgules).",
        "en": "Needed columns that are missing (with headers that are recognised): {columns}. "
        "Headers found: {found}. If one of these means such a column, say so: {mapping} "
        "(field:header, or field:#3 for the third column; several separated by commas).",
    },
    "other-delimiter": {
        "fr": "Les titres ne sont pas séparés (une seule colonne : « {found} »). Séparateurs lus : "
        "virgule, point-virgule, tabulation, barre verticale ; enregistrez le fichier avec l'un "
        "d'eux, ou corrigez delimiter=.",
        "en": "The headers are not separated (a single column: '{found}'). Delimiters that are "
        "read: comma, semicolon, tab, vertical bar; save the file with one of them, or correct "
        "delimiter=.",
    },
    "car-as-header": {
        "fr": "La première ligne semble être une voiture et non des titres de colonnes : {found}. "
        "Si le fichier n'a pas de titres, dites-le : ?header=no, et si besoin "
        "?columns=company:#1,model:#2,year:#3.",
        "en": "The first row seems to be a car and not the names of columns: {found}. If the file "
        "has no header, say so: ?header=no, and if needed ?columns=company:#1,model:#2,year:#3.",
    },
    "duplicate-column": {
        "fr": "Le titre « {column} » (colonne {position}) est déjà celui de la colonne {first} ; "
        "choisissez dans l'URL : ?columns={meaning}:#{first} ou ?columns={meaning}:#{position}.",
        "en": "Header {column} (column {position}) is already that of column {first}; choose one "
        "in the query: ?columns={meaning}:#{first} or ?columns={meaning}:#{position}.",
    },
    "ambiguous-column": {
        "fr": "« {column} » et « {other} » peuvent tous deux être {meaning} ; choisissez "
        "dans l'URL : ?columns={meaning}:{other}.",
        "en": "Both {column} and {other} could be {meaning}; choose one in the query: "
        "?columns={meaning}:{other}.",
    },
    "suspect-encoding": {
        "fr": "Des lettres de ces titres semblent lues dans un mauvais encodage : {values}. Dites "
        "lequel avec encoding= (par exemple mac-roman, cp850, cp1256 ou cp1252), ou enregistrez le "
        "fichier en UTF-8.",
        "en": "Letters of these headers seem to be read in a wrong encoding: {values}. Name it by "
        "encoding= (mac-roman, cp850, cp1256 or cp1252, for example), or save the file as UTF-8.",
    },
    "wrong-json": {
        "fr": "Ligne {line} : ce n'est pas du JSON valable (à partir de « {seen} »).",
        "en": "Line {line}: this is no valid JSON (from {seen!r} on).",
    },
    "truncated-json": {
        "fr": "Le fichier JSON s'arrête avant sa fin, à la ligne {line}.",
        "en": "The JSON file stops before its end, on line {line}.",
    },
    "json-shape": {
        "fr": "Ligne {line} : attendu une liste d'objets, un par voiture, comme "
        '[{{"marque": "Dacia", "modele": "Logan", "annee": 2018}}], ou un objet par ligne '
        "(trouvé : « {seen} »).",
        "en": "Line {line}: expected a list of objects, one a car, like "
        '[{{"brand": "Dacia", "model": "Logan", "year": 2018}}], or one object a line (found '
        "{seen!r}).",
    },
    "json-not-utf8": {
        "fr": "Ligne {line} : le fichier JSON n'est pas en UTF-8 ; enregistrez-le ainsi.",
        "en": "Line {line}: the JSON file is not UTF-8; save it as such.",
    },
    "missing-correction-columns": {
        "fr": "Colonnes des lignes refusées qui manquent : {columns}. Titres trouvés : {found}. "
        "Téléchargez les lignes refusées, corrigez leurs cellules et gardez leurs titres.",
        "en": "Columns of the rejected rows that are missing: {columns}. Headers found: {found}. "
        "Download the rejected rows, correct their cells and keep their headers.",
    },
    "not-a-rejected-row": {
        "fr": "Ligne {line} : row_line vaut {value} ; ce lot n'a pas de ligne refusée de ce "
        "numéro.",
        "en": "Line {line}: row_line is {value}; the batch has no rejected row of that number.",
    },
    "repeated-correction": {
        "fr": "Ligne {line} : la ligne {value} est déjà corrigée plus haut.",
        "en": "Line {line}: row {value} is corrected above already.",
    },
    "unreadable-correction": {
        "fr": "Ligne {line} : illisible ({found} cellules au lieu de {expected}, ou guillemets "
        "ou caractères non valables).",
        "en": "Line {line} cannot be read ({found} cells instead of {expected}, or wrong quotes "
        "or characters).",
    },
    "unordered-corrections": {
        "fr": "Dans un fichier de cette taille, les lignes doivent être triées par row_line.",
        "en": "In a file of this size the rows have to be sorted by row_line.",
    },
    "corrected-batch-gone": {
        "fr": "Le lot {batch}, dont ce sont des lignes, n'existe plus.",
        "en": "Batch {batch}, whose rows these are, is gone.",
    },
    "unknown-key-column": {
        "fr": "key_column : pas de colonne « {column} ». Titres trouvés : {found}.",
        "en": "key_column: there is no column {column}. Headers found: {found}.",
    },
    "unknown-column": {
        "fr": "Pas de colonne « {column} ». Titres trouvés : {found}.",
        "en": "There is no column {column}. Headers found: {found}.",
    },
    "unknown-sheet": {
        "fr": "sheet : pas de feuille « {sheet} ». Feuilles trouvées : {found}.",
        "en": "sheet: there is no sheet {sheet}. Sheets found: {found}.",
    },
    "other-sheets": {
        "fr": "La feuille « {sheet} » a été lue ; les voitures sont peut-être sur une autre : "
        "{found}. Choisissez avec sheet=.",
        "en": "The sheet {sheet} was read; the cars may be on another one: {found}. Choose it by "
        "sheet=.",
    },
    "nested-column": {
        "fr": "La colonne « {column} » contient {type} ; un texte, un nombre, une date ou un "
        "booléen par cellule est attendu.",
        "en": "Column {column} holds {type}; expected one text, number, date or boolean a cell.",
    },
    "wrong-workbook": {
        "fr": "Le classeur est endommagé, ou n'est pas un classeur Excel.",
        "en": "The workbook is damaged, or is no Excel workbook.",
    },
    "truncated-workbook": {
        "fr": "Le classeur s'arrête avant sa fin.",
        "en": "The workbook stops before its end.",
    },
    "wrong-parquet": {
        "fr": "Le fichier Parquet est endommagé, ou d'une variante inconnue.",
        "en": "The Parquet file is damaged, or of an unknown variant.",
    },
    "truncated-parquet": {
        "fr": "Le fichier Parquet s'arrête avant sa fin.",
        "en": "The Parquet file stops before its end.",
    },
    "table-too-large": {
        "fr": "Le tableau dépasse ce qui peut être lu une fois déballé ; envoyez-le en CSV.",
        "en": "Unpacked, the table is more than can be read; send it as CSV.",
    },
    "truncated-upload": {
        "fr": "L'envoi s'interrompt avant sa fin, après {received} octets.",
        "en": "The upload breaks off before its end, after {received} bytes.",
    },
    "truncated-form": {
        "fr": "Le formulaire multipart s'arrête avant sa fin.",
        "en": "The multipart form stops before its end.",
    },
    "wrong-form": {
        "fr": "Le formulaire multipart ne peut pas être lu.",
        "en": "The multipart form cannot be read.",
    },
    "truncated-gzip": {
        "fr": "Les données gzip s'arrêtent avant leur fin.",
        "en": "The gzip data stop before their end.",
    },
    "wrong-gzip": {
        "fr": "Ce ne sont pas des données gzip valables.",
        "en": "These are not valid gzip data.",
    },
    "truncated-zstd": {
        "fr": "Les données zstd s'arrêtent avant leur fin.",
        "en": "The zstd data stop before their end.",
    },
    "wrong-zstd": {
        "fr": "Ce ne sont pas des données zstd valables.",
        "en": "These are not valid zstd data.",
    },
    "zstd-window": {
        "fr": "La fenêtre zstd dépasse {maximum} Mo ; compressez sans --long ni --ultra.",
        "en": "The zstd window is larger than {maximum} MB; compress without --long or --ultra.",
    },
    "missing-file-part": {
        "fr": "Le formulaire n'a pas de champ « file » contenant le fichier.",
        "en": "The form has no field `file` with the file.",
    },
    "file-without-name": {
        "fr": "Le champ « file » contient du texte, pas un fichier : curl -F file=@voitures.csv.",
        "en": "The field `file` holds text, not a file: curl -F file=@cars.csv.",
    },
    "unknown-part": {
        "fr": "Champ de formulaire inconnu : {part}. Seul « file » est lu ; les options sont des "
        "paramètres de l'URL.",
        "en": "Unknown form field {part}. Only `file` is read; options are query parameters.",
    },
}
"""Messages of `UnreadableUpload`, one for each invalid part of the file."""

UPLOAD_PROBLEM_MESSAGES: dict[str, ProblemTexts] = {
    "unreadable-upload": {
        "fr": ("Fichier illisible", "{first}{more}"),
        "en": ("Unreadable file", "{first}{more}"),
    },
    "upload-too-large": {
        "fr": ("Fichier trop grand", "Au plus {maximum} octets, décompressés."),
        "en": ("File too large", "At most {maximum} bytes, decompressed."),
    },
    "upload-overpacked": {
        "fr": (
            "Fichier trop compressé",
            "Plus de {ratio} fois sa taille une fois décompressé ; envoyez-le sans compression.",
        ),
        "en": (
            "File packed too densely",
            "It unpacks to more than {ratio} times its size; send it uncompressed.",
        ),
    },
    "unsupported-upload": {
        "fr": (
            "Format refusé",
            (
                "Attendu : {expected} (reçu : {given}). Ouvrez le fichier dans Excel ou le "
                "logiciel d'origine, et enregistrez-le en .xlsx ou en CSV."
            ),
        ),
        "en": (
            "Unsupported format",
            (
                "Expected {expected} (got {given}). Open the file in Excel or the program that "
                "wrote it, and save it as .xlsx or CSV."
            ),
        ),
    },
    "batch-already-ended": {
        "fr": ("Lot déjà terminé", "Le lot {id} est terminé : rien à annuler."),
        "en": ("Batch already ended", "Batch {id} has ended: there is nothing to cancel."),
    },
    "storage-unavailable": {
        "fr": (
            "Stockage indisponible",
            "Le fichier ne peut pas être gardé ou lu ; réessayez plus tard.",
        ),
        "en": ("Storage unavailable", "The file cannot be stored or read; try again later."),
    },
    "range-not-satisfiable": {
        "fr": ("Plage impossible", "Le fichier a {size} octets."),
        "en": ("Range not satisfiable", "The file has {size} bytes."),
    },
}

BATCH_ERROR_MESSAGES: dict[str, Texts] = {
    "row-rejected": {
        "fr": "Arrêté après une ligne refusée, comme demandé (on_error=abort) ; ce qui était en "
        "cours a été terminé.",
        "en": "Stopped after a rejected row, as asked (on_error=abort); what was under way has "
        "been finished.",
    },
    "attempts-exhausted": {
        "fr": "Abandonné après plusieurs essais ; l'incident est consigné.",
        "en": "Given up after several attempts; the incident is on record.",
    },
    "rows-missing": {
        "fr": "Des lignes manquent dans les résultats ; l'incident est consigné.",
        "en": "Rows are missing in the results; the incident is on record.",
    },
    "line-too-long": {
        "fr": "Une ligne est trop longue pour un CSV.",
        "en": "A line is too long for a CSV.",
    },
    "unreadable-table": {
        "fr": "Le fichier ne peut pas être lu comme un tableau de voitures ; voir « errors ».",
        "en": "The file cannot be read as a table of cars; see errors.",
    },
    "correction-refused": {
        "fr": "Ce ne sont pas des corrections de lignes refusées de ce lot ; voir « errors ». Rien "
        "n'a été changé.",
        "en": "These are no corrections of rejected rows of that batch; see errors. Nothing was "
        "changed.",
    },
    "correction-outdated": {
        "fr": "Le lot corrigé n'existe plus, ou ses lignes ne sont plus refusées ; rien n'y a été "
        "changé.",
        "en": "The corrected batch is gone, or its rows are no longer rejected; nothing was "
        "changed in it.",
    },
}
"""Why a batch ended early."""

FRENCH_UNITS = {"thousand km": "milliers de km"}
"""Names of units in French, as far as they differ."""

NOTICE_MESSAGES: dict[str, Texts] = {
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
        "fr": "Colonne {column} : valeurs qui ne changent pas le prix, faute d'annonces "
        "comparables ; une voiture endommagée vaut moins : {count} ({values}).",
        "en": "Column {column}: values that do not change the price, for lack of comparable "
        "listings; a damaged car is worth less: {count} ({values}).",
    },
    "open-range": {
        "fr": "Colonne {column} : tranches ouvertes, lues comme leur borne : {count} ({values}).",
        "en": "Column {column}: open ranges, read as their bound: {count} ({values}).",
    },
    "unknown-unit": {
        "fr": "Colonne {column} : valeurs ignorées, faute d'unité connue : {count} ({values}).",
        "en": "Column {column}: values ignored, for lack of a known unit: {count} ({values}).",
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

NOTICE_SCOPE: Texts = {
    "fr": " Vu dans les {rows} premières lignes ; les suivantes sont lues de la même façon.",
    "en": " Seen in the first {rows} rows; those that follow are read in the same way.",
}
"""Appended to a notice that is based on the first rows only."""

ROW_MESSAGES: dict[str, Texts] = {
    "repeated-header": {
        "fr": "La ligne répète les titres de colonnes.",
        "en": "The row repeats the header.",
    },
    "summary-row": {
        "fr": "Ligne de total ou de moyenne ({value}), pas une voiture.",
        "en": "A row of totals or averages ({value}), not a car.",
    },
    "wrong-cell-count": {
        "fr": "Nombre de cellules de la ligne : {found} au lieu de {expected}.",
        "en": "Number of cells in the row: {found} instead of {expected}.",
    },
    "open-quote": {
        "fr": "Un guillemet ouvert n'est pas refermé.",
        "en": "A quote is opened and not closed.",
    },
    "unreadable-text": {
        "fr": "La ligne contient des octets qui ne sont pas du texte dans l'encodage du fichier.",
        "en": "The row holds bytes that are no text in the file's encoding.",
    },
    "attempts-exhausted": BATCH_ERROR_MESSAGES["attempts-exhausted"],
    "cell-too-long": {
        "fr": "Une cellule dépasse 100 000 caractères.",
        "en": "A cell is longer than 100,000 characters.",
    },
}
"""Errors of whole rows; those of single cells are in `shared.messages.texts`."""
