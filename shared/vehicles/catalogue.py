"""The known brands and models: display names, other spellings, number of listings."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from shared.domain.names import fold_name

FILE_NAME = "catalogue.json"


def compact(text: str) -> str:
    """A folded text without its spaces: "rav 4" and "rav4" are one name."""
    return text.replace(" ", "")


def digits_of(text: str) -> str:
    """The digits of a text, in order."""
    return "".join(filter(str.isdigit, text))


_SHAPES = str.maketrans("oil", "011")


def shape_of(text: str) -> str:
    """A compact text with letters replaced by the digits they look like: "2oo8" is "2008"."""
    return text.translate(_SHAPES)


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a brand."""

    name: str
    display: str
    listings: int
    """Number of listings in Morocco, 0 if fewer than ten; those of all generations together."""
    generations: int = 0
    """Number of generations that are models of their own, as "golf 7" is of "golf"."""


@dataclass(slots=True)
class Brand:
    """A brand and its models.

    All spellings are folded and compact (`compact`).
    """

    name: str
    display: str
    models: dict[str, Model] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    """Name of the model by every spelling of it."""
    exact: set[str] = field(default_factory=set)
    """Spellings of the names themselves; the other spellings are aliases."""
    written: set[str] = field(default_factory=set)
    """Names and aliases with their spaces."""
    by_digits: dict[str, list[str]] = field(default_factory=dict)
    """The spellings by their digits: a correction never changes digits."""
    by_shape: dict[str, list[str]] = field(default_factory=dict)
    """The spellings by their shape (`shape_of`)."""
    by_last_word: dict[str, list[str]] = field(default_factory=dict)
    """Models of several words by the last one, if it has letters."""
    generations: set[str] = field(default_factory=set)
    """Names of models that are a generation of another."""
    ordered: list[str] = field(default_factory=list)
    """The spellings in alphabetical order."""
    longer: dict[str, list[str]] = field(default_factory=dict)
    """By spelling: the longer spellings of other models that begin with it."""

    @property
    def listings(self) -> int:
        """Number of listings of all models."""
        return sum(
            model.listings for model in self.models.values() if model.name not in self.generations
        )

    def add(self, model: Model, aliases: tuple[str, ...]) -> None:
        """Add a model; a spelling that another model's name has stays with that model."""
        self.models[model.name] = model
        self.spellings[compact(model.name)] = model.name
        self.exact.add(compact(model.name))
        if (shown := compact(fold_name(model.display))) != compact(model.name):
            self.exact.add(shown)
            self.spellings.setdefault(shown, model.name)
        self.written.update((model.name, fold_name(model.display), *aliases))
        for alias in aliases:
            self.spellings.setdefault(compact(alias), model.name)

    def finish(self) -> None:
        """Build the indices over all spellings."""
        for name in self.models:
            last = name.rpartition(" ")[2]
            if last != name and last.isalpha():
                self.by_last_word.setdefault(last, []).append(name)
        ordered = self.ordered = sorted(self.spellings)
        for place, spelling in enumerate(ordered):
            self.by_digits.setdefault(digits_of(spelling), []).append(spelling)
            self.by_shape.setdefault(shape_of(spelling), []).append(spelling)
            for longer in ordered[place + 1 :]:
                if not longer.startswith(spelling):
                    break
                if self.spellings[longer] != self.spellings[spelling]:
                    self.longer.setdefault(spelling, []).append(longer)

    def popularity(self, name: str) -> int:
        """Number of listings of a model."""
        return self.models[name].listings


class Catalogue:
    """All known brands.

    Args:
        content: the content of `catalogue.json`.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.brands = {name: _brand(name, each) for name, each in content["brands"].items()}
        self.brand_spellings: dict[str, str] = {compact(name): name for name in self.brands}
        for name, each in content["brands"].items():
            for alias in each.get("aliases", ()):
                self.brand_spellings.setdefault(compact(alias), name)
        self.longest_brand = max(map(len, self.brand_spellings))
        """Characters of the longest spelling of a brand."""
        self.rebadged = {
            (company, compact(model)): (to_company, to_model)
            for company, model, to_company, to_model in content["rebadged"]
        }
        self.owners: dict[str, list[str]] = {}
        """Brands that have a model of each spelling."""
        for name, brand in self.brands.items():
            for spelling, model in brand.spellings.items():
                if is_run_together(brand, spelling, model):
                    continue
                self.owners.setdefault(spelling, []).append(name)


def is_run_together(brand: Brand, written: str, model: str) -> bool:
    """Whether a text has digits of a model and of its generation in one word, as "a45".

    "a4 5" is the fifth A4; "a45", or "c33", is something else.

    Args:
        brand: the brand of the model.
        written: the text that spells the model's name.
        model: name of the model.
    """
    if model not in brand.generations:
        return False
    base, _, number = model.rpartition(" ")
    return base[-1].isdigit() and written.rsplit(" ", maxsplit=1)[-1] != number


def _brand(name: str, content: Mapping[str, Any]) -> Brand:
    brand = Brand(name, content["name"])
    for model, each in content["models"].items():
        for entry in _models(model, each):
            brand.add(entry, tuple(each.get("aliases", ())) if entry.name == model else ())
        brand.generations.update(
            f"{model} {number}" for number in range(1, len(each.get("generations", ())) + 1)
        )
    brand.finish()
    return brand


def _models(name: str, content: Mapping[str, Any]) -> Iterator[Model]:
    """The model, then its generations."""
    counts = content.get("generations", ())
    listings = content.get("listings", 0) + sum(counts)
    yield Model(name, content["name"], listings, len(counts))
    for number, count in enumerate(counts, start=1):
        yield Model(f"{name} {number}", f"{content['name']} {number}", count)


@cache
def catalogue() -> Catalogue:
    """The catalogue of the package, loaded at the first call."""
    return Catalogue(json.loads(files(__package__).joinpath(FILE_NAME).read_bytes()))
