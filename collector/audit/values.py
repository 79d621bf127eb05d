"""Single values of the audit API's parameters: how each is read from its text, and what it says when it cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, PlainValidator, StringConstraints, WithJsonSchema

from collector.audit import numbers
from collector.audit.moments import Moment, parse
from collector.audit.numbers import Range
from collector.messages.completeness import Completeness, names
from collector.messages.event import Place
from collector.settings.meaning import ANNOTATION
from collector.store.schema import USAGE_DIMENSIONS
from collector.store.words import phrases

MOST_VALUES = 500  # of one parameter: as many as there are statuses
FACETS = (
    "namespace", "service", "model", "status", "caller", "completeness", "node", "method", "protocol", "operation", "finish_reason",
    "streamed", "tool", "annotation", "label", "consumer", "user", "agent", "policy",
)  # fmt: skip
RARE_FACETS = ("session", "trace")  # on request alone: nearly every exchange has another one
LARGEST = (1 << 63) - 1
LARGEST_ORDINAL = (1 << 31) - 1
UNITS = ("hour", "day", "month")
MOST_ANNOTATIONS = 4
_ANNOTATION = "annotation:"
_STATUS = re.compile(r"[1-5][0-9]{2}")
_CLASS = re.compile(r"[1-5]xx")
_PLACE = re.compile(r"([^,\x00-\x1f\x7f]{1,250}):([0-9]{1,19}):([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class Statuses:
    """Status codes asked for: single ones, classes by their first digit, and exchanges without a status."""

    codes: tuple[int, ...]
    classes: tuple[int, ...]
    absent: bool

    @property
    def is_one(self) -> bool:
        return not self.classes and len(self.codes) + self.absent == 1


@dataclass(frozen=True, slots=True)
class Flags:
    """Completeness flags that must be set, and such that must not."""

    present: Completeness
    absent: Completeness


@dataclass(frozen=True, slots=True)
class After:
    """A point in the order of storage: a place for each journal. `now`: the end, whatever it is."""

    places: tuple[tuple[str, Place], ...]
    now: bool = False


@dataclass(frozen=True, slots=True)
class Grouping:
    """What usage is summed by. `unit`: hour, day or month."""

    dimensions: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class OfAnnotation:
    """A value of an annotation that is asked for."""

    name: str
    value: str


def _listed(text: str) -> list[str]:
    """The values of a list. Raises ValueError: a statement with thousands of them is no query."""
    values = text.split(",")
    if len(values) > MOST_VALUES:
        raise ValueError(f"has {len(values)} values; at most {MOST_VALUES} are allowed")
    return values


def statuses(text: str) -> Statuses:
    """Reads `503`, `5xx`, `none` and lists of them. Raises ValueError."""
    parts = _listed(text.lower())
    wrong = [p for p in parts if not (_STATUS.fullmatch(p) or _CLASS.fullmatch(p) or p == "none")]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no status: expected codes (503), classes (5xx), `none`, or a list such as 429,5xx")
    return Statuses(tuple(int(p) for p in parts if p.isdigit()), tuple(int(p[0]) for p in parts if p.endswith("xx")), "none" in parts)


def flags(text: str) -> Flags:
    """Reads `client_aborted`, `!complete` and lists of them: all must hold. Raises ValueError."""
    present = absent = Completeness(0)
    for part in _listed(text.lower()):
        flag = _flag(part.removeprefix("!"))
        if part.startswith("!"):
            absent |= flag
        else:
            present |= flag
    if present & absent:
        raise ValueError(f"{names(present & absent)[0]} cannot be set and not set")
    return Flags(present, absent)


def _flag(name: str) -> Completeness:
    try:
        return Completeness[name.upper()]
    except KeyError:
        known = ", ".join(names(~Completeness(0)))
        raise ValueError(f"{name!r} is no flag: expected {known}, each with a ! before it for `not set`") from None


def _facet_names(text: str) -> str:
    names = dict.fromkeys(_listed(text))
    if wrong := [name for name in names if name not in (*FACETS, *RARE_FACETS)]:
        raise ValueError(f"{wrong[0][:80]!r} is nothing that is counted: expected {', '.join((*FACETS, *RARE_FACETS))}")
    return ",".join(names)


def pairs(text: str) -> list[str]:
    """Reads `team=2002` and lists of them. What has no = belongs to the value before it, which has a comma in it. Raises ValueError."""
    found: list[str] = []
    for part in _listed(text):
        if "=" in part:
            found.append(part)
        elif found:
            found[-1] += f",{part}"
        else:
            raise ValueError(f"{part[:80]!r} is no pair: expected name=value")
    return found


def after(text: str) -> After:
    """Reads `now`, or `journal:position:ordinal` and lists of it. Raises ValueError."""
    if text == "now":
        return After((), now=True)
    places: dict[str, Place] = {}
    for part in text.split(",") if text else ():
        found = _PLACE.fullmatch(part)
        if not found or int(found[2]) > LARGEST or int(found[3]) > LARGEST_ORDINAL:
            raise ValueError(f"{part[:80]!r} is no place: expected `now`, or `after` of an earlier answer as it is")
        places[found[1]] = Place(int(found[2]), int(found[3]))
    return After(tuple(places.items()))


def grouping(text: str) -> Grouping:
    """Reads `model`, `service,day`, `annotation:team`. Raises ValueError."""
    parts = text.split(",")
    dimensions, annotations = [p for p in parts if p in USAGE_DIMENSIONS[:-1]], [p for p in parts if p.startswith(_ANNOTATION)]
    units = [p for p in parts if p in UNITS]
    for part in parts:
        if part not in (*dimensions, *units) and not ANNOTATION.fullmatch(part.removeprefix(_ANNOTATION) if part in annotations else ""):
            known = ", ".join((*USAGE_DIMENSIONS[:-1], f"{_ANNOTATION}NAME", *UNITS))
            raise ValueError(f"{part[:80]!r} is nothing to sum by: expected {known}")
    if len(set(parts)) != len(parts) or len(units) > 1 or len(annotations) > MOST_ANNOTATIONS:
        raise ValueError(f"each once, one of {', '.join(UNITS)}, and at most {MOST_ANNOTATIONS} annotations")
    return Grouping(tuple(dimensions), tuple(p.removeprefix(_ANNOTATION) for p in annotations), units[0] if units else None)


def annotation(text: str) -> OfAnnotation:
    """Reads `team=a`. Raises ValueError."""
    name, is_there, value = text.partition("=")
    if not is_there or not ANNOTATION.fullmatch(name) or len(value) > 4096:
        raise ValueError("expected NAME=VALUE")
    return OfAnnotation(name, _plain(value))


def _plain(text: str) -> str:
    """Stored text holds no control characters, and Postgres refuses NUL."""
    if any(c < " " or c == "\x7f" for c in text):
        raise ValueError("must not hold control characters")
    return text


def _worded(asked: str) -> str:
    phrases(asked)
    return asked


Words = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_worded)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_plain)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=32_768), AfterValidator(_plain)]  # tells a place of each journal
Methods = Annotated[Text, AfterValidator(lambda text: ",".join(_listed(text)))]
TIME_TOLD = "RFC 3339 with an offset, or a time ago: 90s, 15m, 2h, 7d, 4w."
When = Annotated[
    Moment, PlainValidator(lambda v: parse(str(v))), WithJsonSchema({"type": "string", "examples": ["15m", "2025-11-22T10:00:00Z"]})
]
Status = Annotated[Statuses, PlainValidator(lambda v: statuses(str(v))), WithJsonSchema({"type": "string", "examples": ["429,5xx"]})]
Complete = Annotated[Flags, PlainValidator(lambda v: flags(str(v))), WithJsonSchema({"type": "string", "examples": ["!complete"]})]
Stored = Annotated[After, PlainValidator(lambda v: after(str(v))), WithJsonSchema({"type": "string", "examples": ["now"]})]


Grouped = Annotated[Grouping, PlainValidator(lambda v: grouping(str(v))), WithJsonSchema({"type": "string", "examples": ["model,day"]})]
Annotation = Annotated[
    OfAnnotation, PlainValidator(lambda v: annotation(str(v))), WithJsonSchema({"type": "string", "examples": ["team=a"]})
]
Pairs = Annotated[Text, AfterValidator(lambda text: ",".join(pairs(text)))]
Values = Annotated[Text, AfterValidator(lambda text: ",".join(_listed(text)))]
Number = Annotated[Range, PlainValidator(lambda v: numbers.plain(str(v))), WithJsonSchema({"type": "string", "examples": [">4000"]})]
Time = Annotated[Range, PlainValidator(lambda v: numbers.time_us(str(v))), WithJsonSchema({"type": "string", "examples": [">2s"]})]
Size = Annotated[Range, PlainValidator(lambda v: numbers.size(str(v))), WithJsonSchema({"type": "string", "examples": [">=1M"]})]
FacetNames = Annotated[Text, AfterValidator(lambda text: _facet_names(text))]
RANGE_TOLD = "4000, >4000, >=4000, <4000, <=4000 or 1000..4000."
ANY_OF_THEM = "Or a list, of which one must hold."
