"""Title and detail of every problem document, in French and English, by code."""

from shared.messages.uploads import UPLOAD_PROBLEM_MESSAGES, ProblemTexts

PROBLEM_MESSAGES: dict[str, ProblemTexts] = UPLOAD_PROBLEM_MESSAGES | {
    "invalid-input": {
        "fr": ("Données refusées", "{first}{more}"),
        "en": ("Input refused", "{first}{more}"),
    },
    "valuation-not-found": {
        "fr": ("Estimation introuvable", "Aucune de vos estimations n'a l'identifiant {id}."),
        "en": ("Valuation not found", "None of your valuations has the id {id}."),
    },
    "valuation-expired": {
        "fr": (
            "Estimation trop ancienne",
            "Une vente se signale dans les {days} jours après l'estimation {id}.",
        ),
        "en": ("Valuation too old", "A sale is reported within {days} days of valuation {id}."),
    },
    "job-not-found": {
        "fr": ("Tâche introuvable", "Aucune de vos tâches n'a l'identifiant {id}."),
        "en": ("Job not found", "None of your jobs has the id {id}."),
    },
    "job-expired": {
        "fr": ("Tâche expirée", "La durée de conservation de la tâche {id} est passée."),
        "en": ("Job expired", "The retention time of job {id} is over."),
    },
    "job-already-ended": {
        "fr": ("Tâche déjà terminée", "La tâche {id} est terminée : rien à annuler."),
        "en": ("Job already ended", "Job {id} has ended: there is nothing to cancel."),
    },
    "dead-letter-not-found": {
        "fr": ("Travail introuvable", "Aucun travail abandonné n'a l'identifiant {id}."),
        "en": ("Dead letter not found", "No work that was given up has the id {id}."),
    },
    "dead-letter-not-replayable": {
        "fr": (
            "Reprise impossible",
            "Les données de {id} ne sont plus là, ou son fichier est en cours ou corrigé depuis.",
        ),
        "en": (
            "Cannot be replayed",
            "The data of {id} are gone, or its batch is running or was corrected since.",
        ),
    },
    "webhooks-unavailable": {
        "fr": (
            "Notifications indisponibles",
            "Un worker d'une version antérieure tourne, ou aucun n'a démarré : sans callback_url.",
        ),
        "en": (
            "Webhooks unavailable",
            "A worker of an earlier release runs, or none has started: without callback_url only.",
        ),
    },
    "webhook-secrets-unreadable": {
        "fr": (
            "Notifications indisponibles",
            "Les secrets qui signent les notifications sont illisibles : sans callback_url.",
        ),
        "en": (
            "Webhooks unavailable",
            "The secrets that sign webhooks cannot be read: without callback_url only.",
        ),
    },
    "idempotency-conflict": {
        "fr": ("Idempotency-Key déjà utilisée", "Cette clé est venue avec un autre corps."),
        "en": ("Idempotency-Key already used", "This key came before with another body."),
    },
    "model-not-loaded": {
        "fr": (
            "Modèle non chargé",
            "Aucun modèle n'est actif ; lancez « carprice train --activate ».",
        ),
        "en": ("Model not loaded", "No model (modèle) is active; run `carprice train --activate`."),
    },
    "model-version-not-found": {
        "fr": ("Version introuvable", "Le registre n'a pas de version {version}."),
        "en": ("Version not found", "The registry has no version {version}."),
    },
    "model-card-not-found": {
        "fr": ("Fiche introuvable", "La version {version} n'a pas de fichier {name}."),
        "en": ("Card not found", "Version {version} has no file {name}."),
    },
    "model-refused": {
        "fr": (
            "Version refusée",
            "La version {version} est refusée. Motif technique, en anglais : {reason}.",
        ),
        "en": ("Version refused", "Version {version} is refused: {reason}."),
    },
    "active-pointer-lost": {
        "fr": (
            "Version active inconnue",
            "ACTIVE manque ou est illisible ; {version} était active : `carprice models activate`.",
        ),
        "en": (
            "Active version unknown",
            "File ACTIVE is lost or unreadable; {version} was active: `carprice models activate`.",
        ),
    },
    "model-changed": {
        "fr": ("Modèle actif changé", "If-Match ne vaut plus : la version active est {version}."),
        "en": ("Active model changed", "If-Match no longer holds: {version} is active."),
    },
    "no-earlier-model": {
        "fr": (
            "Aucune version antérieure",
            "L'historique ne nomme aucune version active avant {version}.",
        ),
        "en": ("No earlier version", "The history names no version active before {version}."),
    },
    "broker-unavailable": {
        "fr": (
            "File d'attente indisponible",
            "La file d'attente ne répond pas ; réessayez bientôt.",
        ),
        "en": ("Queue unavailable", "The queue does not answer; try again soon."),
    },
    "broker-not-writable": {
        "fr": (
            "File d'attente sans espace disque",
            "La file d'attente ne peut rien enregistrer, son disque est plein ; réessayez bientôt.",
        ),
        "en": (
            "Queue without disk space",
            "The queue cannot store anything because its disk is full; try again soon.",
        ),
    },
    "queue-full": {
        "fr": ("File pleine", "Trop de demandes attendent déjà ; réessayez bientôt."),
        "en": ("Queue full", "Too many requests wait already; try again soon."),
    },
    "too-many-transfers": {
        "fr": (
            "Transferts trop nombreux",
            "Trop de clients envoient ou reçoivent lentement en ce moment ; réessayez bientôt.",
        ),
        "en": (
            "Too many transfers",
            "Too many clients send or receive slowly right now; try again soon.",
        ),
    },
    "too-many-waits": {
        "fr": (
            "Attentes trop nombreuses",
            "Trop de demandes attendent la fin d'un travail ; interrogez sans attendre.",
        ),
        "en": (
            "Too many waits",
            "Too many requests wait for the end of a job; poll without waiting.",
        ),
    },
    "statistics-pending": {
        "fr": ("Statistiques en préparation", "Le journal est en cours de lecture ; réessayez."),
        "en": ("Statistics pending", "The audit log is being read; try again."),
    },
    "audit-unavailable": {
        "fr": ("Journal indisponible", "La réponse ne peut pas être consignée ; réessayez."),
        "en": ("Audit log unavailable", "The answer cannot be recorded; try again."),
    },
    "broker-full": {
        "fr": (
            "Mémoire pleine",
            "Le reste de la mémoire est réservé au travail déjà accepté ; réessayez bientôt.",
        ),
        "en": (
            "Memory full",
            "The rest of the memory is reserved for work already accepted; try again soon.",
        ),
    },
    "job-storage-full": {
        "fr": (
            "Trop de tâches conservées",
            "Vos tâches occupent l'essentiel de la mémoire : attendez, ou supprimez des tâches.",
        ),
        "en": (
            "Too many jobs kept",
            "Your jobs hold most of the memory: wait, or delete some that have ended.",
        ),
    },
    "job-deleted": {
        "fr": ("Tâche supprimée", "La tâche {id} a été supprimée à la demande de son auteur."),
        "en": ("Job deleted", "The job {id} was deleted on its caller's request."),
    },
    "unreadable-record": {
        "fr": (
            "Enregistrement illisible",
            "Une version plus récente du service l'a écrit, ou il est endommagé.",
        ),
        "en": (
            "Unreadable record",
            "A newer version of the service wrote it, or it is damaged.",
        ),
    },
    "newer-record": {
        "fr": (
            "Enregistrement d'une version plus récente",
            "Cette version du service ne peut pas le lire ; réessayez après la mise à jour.",
        ),
        "en": (
            "Record of a newer version",
            "This version of the service cannot read it; try again after the update.",
        ),
    },
    "valuation-failed": {
        "fr": ("Estimation impossible", "L'estimation a échoué ; l'incident est consigné."),
        "en": ("Valuation failed", "The valuation failed; the incident is on record."),
    },
    "attempts-exhausted": {
        "fr": ("Tâche abandonnée", "La tâche a échoué après plusieurs essais."),
        "en": ("Job given up", "The job failed after several attempts."),
    },
    "not-authenticated": {
        "fr": ("Clé d'API manquante", "Envoyez une clé valable : Authorization: Bearer <clé>."),
        "en": ("API key missing", "Send a valid key: Authorization: Bearer <key>."),
    },
    "not-permitted": {
        "fr": ("Droit manquant", "La clé n'a pas le droit « {scope} »."),
        "en": ("Scope missing", "The key lacks the scope {scope}."),
    },
    "key-expired": {
        "fr": ("Clé d'API expirée", "La clé {id} a expiré ; demandez-en une autre."),
        "en": ("API key expired", "The key {id} has expired; ask for another one."),
    },
    "keys-unavailable": {
        "fr": (
            "Clés d'API illisibles",
            "Les clés d'API ne peuvent pas être lues ; l'exploitant doit les rétablir.",
        ),
        "en": (
            "API keys unavailable",
            "The API keys cannot be read; the operator has to restore them.",
        ),
    },
    "rate-limited": {
        "fr": ("Trop de requêtes", "Votre clé permet {limit} requête(s) par seconde."),
        "en": ("Too many requests", "Your key allows {limit} request(s) per second."),
    },
    "car-limit-reached": {
        "fr": (
            "Limite de voitures atteinte",
            "Voitures par jour avec votre clé : {limit} ; restantes : {left}, demandées : {cars}.",
        ),
        "en": (
            "Car limit reached",
            "Cars per day with your key: {limit}; left: {left}, asked for: {cars}.",
        ),
    },
    "open-jobs-limit-reached": {
        "fr": (
            "Trop de tâches en cours",
            "Tâches en cours permises par votre clé : {limit}.",
        ),
        "en": ("Too many open jobs", "Open jobs that your key allows: {limit}."),
    },
    "open-batches-limit-reached": {
        "fr": (
            "Trop de lots en cours",
            "Lots en cours permis par votre clé : {limit}.",
        ),
        "en": ("Too many open batches", "Open batches that your key allows: {limit}."),
    },
    "storage-limit-reached": {
        "fr": (
            "Espace épuisé",
            "Votre clé permet {limit} octets : vous en occupez {used}, il en faudrait {size}.",
        ),
        "en": (
            "Storage limit reached",
            "Your key allows {limit} bytes: you hold {used}, and {size} more are needed.",
        ),
    },
    "cross-site-refused": {
        "fr": ("Autre site refusé", "Une page d'un autre site ne peut rien modifier ici."),
        "en": ("Other site refused", "A page of another site may not change anything here."),
    },
    "host-refused": {
        "fr": (
            "Hôte refusé",
            "Sans clé d'API, le service ne répond que sous localhost ; voir « make key ».",
        ),
        "en": (
            "Host refused",
            "Without API keys the service answers to localhost only; see `make key`.",
        ),
    },
    "internal-error": {
        "fr": ("Erreur interne", "Une erreur inattendue est survenue ; elle est consignée."),
        "en": ("Internal error", "An unexpected error occurred; it is on record."),
    },
    "not-found": {
        "fr": ("Page introuvable", "Rien à cette adresse ; voir /docs."),
        "en": ("Not found", "Nothing at this address; see /docs."),
    },
    "method-not-allowed": {
        "fr": ("Méthode refusée", "Cette adresse accepte : {allowed}."),
        "en": ("Method not allowed", "This address accepts {allowed}."),
    },
    "unsupported-media-type": {
        "fr": ("Type de contenu refusé", "Content-Type attendu : {expected} (reçu : {given})."),
        "en": ("Unsupported media type", "Expected Content-Type {expected} (got {given})."),
    },
    "unsupported-content-encoding": {
        "fr": ("Compression refusée", "Content-Encoding attendu : {expected} (reçu : {given})."),
        "en": ("Unsupported encoding", "Expected Content-Encoding {expected} (got {given})."),
    },
    "not-acceptable": {
        "fr": ("Format indisponible", "Formats disponibles : {available}."),
        "en": ("Not acceptable", "Available formats: {available}."),
    },
    "coding-not-acceptable": {
        "fr": (
            "Codage refusé",
            "Accept-Encoding refuse tous les codages : {available}.",
        ),
        "en": ("No coding accepted", "Accept-Encoding refuses every coding: {available}."),
    },
    "precondition-failed": {
        "fr": ("Condition non remplie", "Le contenu n'est plus celui que nomme {header}."),
        "en": ("Precondition failed", "The content is no longer what {header} names."),
    },
    "body-too-large": {
        "fr": ("Corps trop grand", "Au plus {maximum} octets."),
        "en": ("Body too large", "At most {maximum} bytes."),
    },
    "bad-request": {
        "fr": ("Requête illisible", "La requête HTTP n'est pas valable."),
        "en": ("Bad request", "The HTTP request is not valid."),
    },
    "batch-not-found": {
        "fr": ("Lot introuvable", "Aucun de vos lots n'a l'identifiant {id}."),
        "en": ("Batch not found", "None of your batches has the id {id}."),
    },
    "batch-expired": {
        "fr": ("Lot expiré", "La durée de conservation du lot {id} est passée."),
        "en": ("Batch expired", "The retention time of batch {id} is over."),
    },
    "batch-deleted": {
        "fr": ("Lot supprimé", "Le lot {id} a été supprimé à la demande de son auteur."),
        "en": ("Batch deleted", "Batch {id} was deleted on its caller's request."),
    },
    "result-not-ready": {
        "fr": ("Résultat pas encore prêt", "Le lot {id} est en cours ; réessayez bientôt."),
        "en": ("Result not ready", "Batch {id} is under way; try again soon."),
    },
    "first-rows-are-csv": {
        "fr": (
            "Pas encore sous cette forme",
            "Le lot {id} est en cours : d'ici sa fin, ses premières lignes sont en CSV simple.",
        ),
        "en": (
            "Not yet in this form",
            "Batch {id} is under way: until it ends, its first rows are there as plain CSV.",
        ),
    },
    "too-many-rows-for-sheet": {
        "fr": (
            "Trop de lignes pour un classeur",
            "Une feuille contient {maximum} lignes ; il y en a {rows} : format=csv ou parquet.",
        ),
        "en": (
            "Too many rows for a workbook",
            "A sheet holds {maximum} rows; there are {rows}: ask for format=csv or parquet.",
        ),
    },
    "too-many-rows-for-table": {
        "fr": (
            "Trop de lignes pour un tableau",
            "Le tableau montre jusqu'à {maximum} lignes ; il y en a {rows} : téléchargez-les.",
        ),
        "en": (
            "Too many rows for a table",
            "Pages of rows are made of up to {maximum} rows; there are {rows}: download them.",
        ),
    },
    "nothing-to-retry": {
        "fr": (
            "Rien à relancer",
            "Le fichier du lot {id} est refusé, ou n'est plus conservé. Envoyez-le à nouveau.",
        ),
        "en": (
            "Nothing to retry",
            "The file of the batch {id} is refused, or is not kept any more. Send it again.",
        ),
    },
    "correction-in-progress": {
        "fr": (
            "Correction en cours",
            "Une correction du lot {id} est en cours ou vient de finir ; relisez ses refus.",
        ),
        "en": (
            "Correction in progress",
            "A correction of batch {id} is under way or has just ended; reread its rejected rows.",
        ),
    },
    "nothing-to-correct": {
        "fr": ("Rien à corriger", "Le lot {id} n'a aucune ligne refusée."),
        "en": ("Nothing to correct", "Batch {id} has no rejected rows."),
    },
    "form-not-ready": {
        "fr": ("Fichier en préparation", "Le fichier {form} est en préparation ; réessayez."),
        "en": ("File not ready", "The file {form} is being made; try again soon."),
    },
}
