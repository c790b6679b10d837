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
    "repeated-json-member": {
        "fr": "Ligne {line} : le membre « {seen} » est donné deux fois dans un objet, avec des "
        "valeurs différentes ; gardez-en une.",
        "en": "Line {line}: member {seen!r} is given twice in one object, with different values; "
        "keep one.",
    },
    "several-json-lists": {
        "fr": "Ligne {line} : l'objet contient plusieurs listes d'objets (« {seen} » est "
        "la deuxième) ; gardez celle des voitures, ou envoyez un fichier par liste.",
        "en": "Line {line}: the object holds several lists of objects ({seen!r} is the second "
        "one); keep that of the cars, or send a file for each list.",
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
    "unknown-header-row": {
        "fr": "Il n'y a pas de titres en ligne {row} ; lignes remplies au début : {found}.",
        "en": "There is no header in row {row}; filled rows at the start: {found}.",
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
                "Attendu : {expected} (reçu : {given}). Une archive (ZIP, 7-Zip, RAR) doit être "
                "décompressée : envoyez le fichier qu'elle contient. Sinon, ouvrez le fichier dans "
                "Excel ou le logiciel d'origine, et enregistrez-le en .xlsx ou en CSV."
            ),
        ),
        "en": (
            "Unsupported format",
            (
                "Expected {expected} (got {given}). Unpack an archive (ZIP, 7-Zip, RAR) and send "
                "the file in it. Otherwise open the file in Excel or the program that wrote it, "
                "and save it as .xlsx or CSV."
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
    "car-limit-reached": {
        "fr": "Arrêté : le fichier compte plus de voitures que votre clé n'en permet aujourd'hui.",
        "en": "Stopped: the file has more cars than your key allows today.",
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

ROW_MESSAGES: dict[str, Texts] = {
    "repeated-header": {
        "fr": "La ligne répète les titres de colonnes.",
        "en": "The row repeats the header.",
    },
    "units-row": {
        "fr": "La ligne indique des unités, pas une voiture ; elles valent pour les lignes "
        "suivantes.",
        "en": "The row states units, it is no car; they hold for the rows below.",
    },
    "after-other-header": {
        "fr": "Une ligne de titres plus haut dans le fichier donne d'autres colonnes que la "
        "première : envoyez ces lignes dans un fichier à part.",
        "en": "A header further up in the file has other columns than the first one: upload these "
        "rows in a file of their own.",
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
