"""What training hands over to be stored."""

import dataclasses
from typing import Any

from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.encoding import CarEncoder
from model_store.training.card_predictions import CardPredictions


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A forest with everything that is needed to quote prices with it.

    Args:
        estimator: predicts the residual of the encoder's baseline on the log price from the
            encoder's matrix.
        difficulty: predicts from the same matrix how far cars stray from it.
        encoder: turns cars into the matrix and the baseline.
        calibration: turns mean, deviation and difficulty of the log price into quantiles.
        metrics: figures of the quality with how they were got.
        training: `rows`, `digest` (sha256 of the listings), `data_as_of` (YYYY-MM), `name`, `seed`,
            `months` (first and last month of listing) and `price_index` (see
            `data.market.price_index`).
        predictions: the training listings as the model prices them unseen, for its card.
    """

    estimator: RandomForestRegressor | ExtraTreesRegressor
    difficulty: RandomForestRegressor
    encoder: CarEncoder
    calibration: IntervalCalibration
    metrics: dict[str, Any]
    training: dict[str, Any]
    predictions: CardPredictions | None = None
