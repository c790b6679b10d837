"""A card's texts, numbers, labels of groups and names of columns in one of its languages."""

import dataclasses
import re
from collections.abc import Sequence

from model_store.cards.texts import CONTEXT, TEXTS
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark_in_context, translate_in_context
from shared.i18n.languages import RIGHT_TO_LEFT, SOURCE_LANGUAGE, Language
from shared.i18n.numbers import COMMA, DECIMALS, GROUPS

_SPLITS = (
    mark_in_context("card", "out of bag"),
    mark_in_context("card", "baseline cross-fitted"),
    mark_in_context("card", "field dropout on"),
)
"""The parts of `metrics.split` that are translated."""
_SPLIT_UNKNOWN = mark_in_context("card", "described in the version's manifest, field metrics.split")
_GROUPS = (
    mark_in_context("card", "all details"),
    mark_in_context("card", "details missing"),
    mark_in_context("card", "unusual figures"),
    mark_in_context("card", "model unknown"),
    mark_in_context("card", "brand unknown"),
    mark_in_context("card", "all others"),
)
_BOUNDS = {
    "up to ": mark_in_context("card", "up to {bound}"),
    "over ": mark_in_context("card", "over {bound}"),
}
_PRICE_OF_REGRESSION = mark_in_context("card", "price of the regression")
_EFFECT_OF = mark_in_context("card", "effect: {field}")
_EFFECT = "effect_"
_BASELINE = "baseline_log"
_MINUS = "\N{MINUS SIGN}"
_EN_DASH = "\N{EN DASH}"
_RANGE = re.compile(r"(?<=\d)-(?=\d)")
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_DASHED = re.compile(r"\d[\w:]*(?:-[\w:]+)+")
"""A date or the id of a version: after Arabic letters, its parts would be shown in reverse."""
_ISOLATED = "\N{LEFT-TO-RIGHT ISOLATE}\\g<0>\N{POP DIRECTIONAL ISOLATE}"
_SPACED = re.compile(r" (?=[;:?!»%])|(?<=«) ")


@dataclasses.dataclass(frozen=True, slots=True)
class CardTexts:
    """The texts of a card in one language."""

    language: Language

    def __call__(self, name: str, **values: object) -> str:
        """A text of `TEXTS` with its values."""
        return self.say(TEXTS[name], **values)

    def say(self, text: str, **values: object) -> str:
        """An English text of the context `card` with its values, in the language of the card."""
        return self.typographic(translate_in_context(CONTEXT, text, self.language).format(**values))

    def typographic(self, text: str) -> str:
        """A French text with its narrow spaces; an Arabic one whose dates keep their order."""
        if self.language in RIGHT_TO_LEFT:
            return _DASHED.sub(_ISOLATED, text)
        return _SPACED.sub(_THIN_SPACE, text) if self.language == "fr" else text

    def listed(self, texts: Sequence[str]) -> list[str]:
        """The texts of a list."""
        return [self.say(text) for text in texts]

    def number(self, value: float, decimals: int = 0, *, signed: bool = False) -> str:
        """A number with the separators of the language and a minus sign; 0 has no sign."""
        text = f"{value:{'+' if signed else ''}z,.{decimals}f}"
        if signed and not float(text.replace(",", "")):
            text = text.removeprefix("+")
        return self.separated(text.replace("-", _MINUS))

    def separated(self, text: str) -> str:
        """Numbers in English notation in that of the language."""
        signs: dict[str, str | int | None] = {
            ",": GROUPS[self.language],
            ".": DECIMALS[self.language],
        }
        return text.translate(str.maketrans(signs))

    def percent(self, value: float, decimals: int = 1, *, signed: bool = False) -> str:
        """A percentage with its sign, which stands close in Arabic: it is part of the number."""
        space = "" if self.language == "ar" else " "
        return self.typographic(f"{self.number(value, decimals, signed=signed)}{space}%")

    def split(self, split: str) -> str:
        """How the figures were measured; other readers are referred to what is not translated."""
        if self.language == SOURCE_LANGUAGE:
            return split
        parts = split.split(", ")
        if not set(parts) <= set(_SPLITS):
            return self.say(_SPLIT_UNKNOWN)
        return COMMA[self.language].join(map(self.say, parts))

    def known(self, name: str) -> str:
        """A name, such as that of the training data, translated if it is one of `TEXTS`."""
        return self(name) if name in TEXTS else name

    def group(self, label: str) -> str:
        """The label of a group of `model_store.training.card_predictions`; ranges have a dash."""
        label = _RANGE.sub(_EN_DASH, label)
        if label in _GROUPS:
            return self.say(label)
        if self.language == SOURCE_LANGUAGE:
            return label
        for start, text in _BOUNDS.items():
            if label.startswith(start):
                return self.say(text, bound=self.separated(label.removeprefix(start)))
        return self.separated(label)

    def column(self, name: str) -> str:
        """The name of a column of the forest's matrix."""
        if self.language == SOURCE_LANGUAGE:
            return name
        if name == _BASELINE:
            return self.say(_PRICE_OF_REGRESSION)
        field = CAR_FIELDS.get(name.removeprefix(_EFFECT))
        if field is None:
            return name
        label = field.label(self.language)
        return self.say(_EFFECT_OF, field=label) if name.startswith(_EFFECT) else label
