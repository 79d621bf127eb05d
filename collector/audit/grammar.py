"""A line of filters, `service:llama status:5xx tokens:>4000`, as the parameters that say the same. Pure.

One grammar for the API, the command and the page. A value with blanks stands in quotes: `user:"Ann Lee"`; a quote in it is written `\\"`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

MOST = 64  # filters in a line
JOINED = ("annotation", "label", "completeness")  # several of them must all hold
WORDS = "text"  # the filter that words without a name belong to
_PHRASE = re.compile(r'"[^"]*"')
_BLANK = re.compile(r"\s*")
_NAME = re.compile(r"([a-z_]+):")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r"\S+")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parameters(line: str, known: Collection[str]) -> dict[str, str]:
    """The parameters, by name. Raises ValueError that says what is wrong where."""
    found: dict[str, str] = {}
    bare: list[str] = []
    at, count = _skip(line, 0), 0
    while at < len(line):
        word, at = _bare(line, at, known)
        if word:
            bare.append(word)
            at = _skip(line, at)
            continue
        name, value, at = _one(line, at, known)
        if name in found and name not in JOINED:
            raise ValueError(f"{name} is given twice: write a list, {name}:a,b, where it takes one")
        found[name] = f"{found[name]},{value}" if name in found else value
        at = _skip(line, at)
        count += 1
        if count > MOST:
            raise ValueError(f"has more than {MOST} filters")
    if bare:
        found[WORDS] = " ".join([*([found[WORDS]] if WORDS in found else []), *bare])
    return found


def written(found: dict[str, str]) -> str:
    """The line that says these."""
    return " ".join(f"{name}:{_quoted(value)}" for name, value in found.items())


def _bare(line: str, at: int, known: Collection[str]) -> tuple[str, int]:
    """What stands there without a name, to be looked for in texts: a word, or a phrase with its quotes. Empty: it is a filter."""
    if WORDS not in known or _NAME.match(line, at):
        return "", at
    match = _PHRASE.match(line, at) or _PLAIN.match(line, at)
    return (match[0], match.end()) if match else ("", at)


def _one(line: str, at: int, known: Collection[str]) -> tuple[str, str, int]:
    match = _NAME.match(line, at)
    if match is None:
        raise ValueError(f"{line[at : at + 40]!r} is no filter: expected name:value")
    name, at = match[1], match.end()
    if name not in known:
        raise ValueError(f"{name[:40]!r} is no filter: expected one of {', '.join(sorted(known))}")
    if line[at : at + 1] == '"':
        quoted = _QUOTED.match(line, at)
        if quoted is None:
            raise ValueError(f"the quote behind {name}: is not closed")
        if line[quoted.end() : quoted.end() + 1].strip():
            raise ValueError(f"behind the quote of {name}: a blank is missing")
        return name, _ESCAPED.sub(r"\1", quoted[1]), quoted.end()
    plain = _PLAIN.match(line, at)
    if plain is None:
        raise ValueError(f"{name}: has no value")
    return name, plain[0], plain.end()


def _skip(line: str, at: int) -> int:
    match = _BLANK.match(line, at)
    return match.end() if match else at


def _quoted(value: str) -> str:
    if value and not value.startswith('"') and not re.search(r"\s", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
