"""All subjects: the service, its peers and the inference engines; and their labels."""

from benchmarks.queues import EMPTY_QUEUES, PLAIN_CELERY
from benchmarks.servers import SERVERS, SERVICES

SUBJECTS = {one.name: one for one in (*SERVICES, PLAIN_CELERY, *SERVERS, *EMPTY_QUEUES)}
"""All subjects that are started as programs, by name."""

ENGINES = {
    "packed": "packed forest, spread included",
    "estimate": "cars to estimates (encode, forest, nine quantiles)",
    "sklearn": "`forest.predict`, n_jobs=1, ready matrix",
    "pipeline": "reference project's way: dicts, DataFrame, pipeline, n_jobs=-1",
    "contributions": "contributions of the features (Tree SHAP), one car",
    "depreciation": "depreciation over five years, one car",
    "comparables": "comparable cars, one car",
}
"""The engines of the `inference` scenario, which run in one process."""

LABELS = (
    {name: subject.label for name, subject in SUBJECTS.items()}
    | ENGINES
    | {
        "bare-predict": "bare single-core `forest.predict`, ready matrix",
        "alone": "this service, no batch in progress",
        "beside-batch": "this service, a large batch in progress",
    }
)
