"""The rules on what the decoder put together: texts that stood apart in a body may stand together in its record.

Guarantees: what a pattern matches in the record is marked there, and the body that it came from is withheld. Next stop: describe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import cast

from msgspec import structs

from collector.messages.captured import Decoded
from collector.messages.redacted import Counted
from collector.redact.bodies import ALL, SIDES, Kept
from collector.redact.conceal import COUNTS, NAMES, is_hidden
from collector.redact.rules import Rules

_OF_REQUEST = ("inputs", "mcp", *NAMES["request"])
JOINED = Kept(b"", ALL, "a text in several parts holds something to hide")


def look_again(decoded: Decoded, withheld: Collection[str], counted: Counted | None, rules: Rules) -> tuple[Decoded, list[str]]:
    """What may be told, with the numbers of what passed (`counted`) where the decoder had not all of it; and the bodies (`request`,
    `response`) of which nothing may be kept any more. `withheld` are those of which nothing was kept before.
    """
    told, found = decoded.inference.copy(), list[str]()
    inference = cast("dict[str, object]", told)  # walked as any JSON is
    if rules.patterns and rules.patterns.found("\n".join(_texts(list(inference.values())))):
        found = [side for side in SIDES if _is_marked(inference, side, rules)]
    if counted is None:
        return structs.replace(decoded, inference=told), found
    for side in SIDES:
        if side in withheld or side in found:
            for name, value in counted.names[side].items():
                inference.setdefault(name, value)
    for name in COUNTS:
        inference.pop(name, None)  # the path of a call whose bodies are withheld may promise what they did not keep
    told.update(counted.counts)
    return Decoded(told, counted.usage, counted.timing, decoded.problems, counted.untold, counted.classes), found


def _is_marked(inference: dict[str, object], side: str, rules: Rules) -> bool:
    """Marks what patterns find in the record of a body. Whether there was something."""
    found = False
    for name in [name for name in inference if name not in COUNTS and (name in _OF_REQUEST) == (side == "request")]:
        marked = _marked(inference[name], rules)
        if marked != inference[name]:
            inference[name], found = marked, True
    return found


def _texts(values: list[object]) -> Iterator[str]:
    """The texts and numbers in these values, in any order."""
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        else:
            yield repr(value)


def _marked(value: object, rules: Rules) -> object:
    if isinstance(value, str):
        return rules.patterns.resub(value)
    if isinstance(value, list):
        return [_marked(item, rules) for item in value]
    if isinstance(value, dict):
        return {key: item if key == "shape" else _marked(item, rules) for key, item in value.items() if not is_hidden(item, rules)}
    return value
