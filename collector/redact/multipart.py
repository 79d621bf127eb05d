"""Rules on multipart forms: each part is judged as a body of its own. A form is looked through and never changed."""

from __future__ import annotations

import re
from collections.abc import Callable

from collector.decode.limits import Limits
from collector.decode.multipart import boundary, parts, spans
from collector.decode.reading import Body
from collector.redact.rules import FoundError, Rules, UnsureError
from collector.redact.structure import spellings
from collector.rule_language.paths import EVERY

_ENCODED = re.compile(r"content-transfer-encoding:\s*(?!7bit|8bit|binary)", re.IGNORECASE)
_NOT_READ = "its form cannot be read to its end"

Look = Callable[[Body], bytes | None]


def check_form(body: Body, rules: Rules, limits: Limits, look: Look) -> None:
    """Fields are known by a path's first name. `look` gives what the rules make of a part, None if it holds nothing to hide."""
    told = body.headers.get("content-type", "")
    form = parts(body.data, told, limits)
    if not form or len(form) >= limits.parts:
        raise UnsureError(_NOT_READ)
    names = {str(path.steps[0]) for path in rules.paths}
    if EVERY in names or any(part.name in names or part.name.partition("[")[0] in names for part in form):
        raise UnsureError("a field of its form is to be hidden")
    at = body.data.find(boundary(told))
    if body.data[:at].strip():
        raise UnsureError("something stands before its form")
    for (start, split, end), part in zip(spans(body.data, told), form, strict=False):
        if split is None or end is None:
            raise UnsureError(_NOT_READ)
        _headers(body.data[start:split], rules)
        kind = part.content_type or ""
        content = Body(body.side, body.data[split + 4 : end], True, {"content-type": kind})
        if kind.lower().startswith("multipart/"):
            raise UnsureError("its form holds another")
        if content.data and look(content) is not None:
            raise FoundError
        at = end
    behind = body.data[at:].removeprefix(b"\r\n" + boundary(told) + b"--")
    if behind.strip():
        raise UnsureError(_NOT_READ)


def _headers(data: bytes, rules: Rules) -> None:
    text = data.decode("utf-8", "replace")
    if _ENCODED.search(text):
        raise UnsureError("a part of its form is encoded")
    if any(map(rules.patterns.found, (text, *spellings(text)))):
        raise FoundError
