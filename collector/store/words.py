"""Words, as the index of texts holds them and as a search asks for them: made here alone, so that both stores find the same. Pure.

A word is a run of letters and digits, in lower case, without accents; of Chinese and Japanese, which write no blanks, each character.
Everything else parts words, so a word holds nothing that a query language would read. The words of a text stand in a line, ` a b c `,
and a line for each text: a phrase is found in it as ` b c `, and never reaches from one text into the next.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 64  # characters of a word; the rest of a longer one is no part of it
ASKED = 32  # words in a search
_ASCII = re.compile(r"[0-9a-z]+")
_EACH = r"\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_SIGNS = r"\u0900-\u0963\u0966-\u109f\u1780-\u17ff"  # of scripts whose vowels are signs at a letter, which count as no letters
_ANY = re.compile(rf"[{_EACH}]|(?:[^\W_{_EACH}]|[{_SIGNS}])+")
_ACCENTS = re.compile(r"[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u3099\u309a]+")
Phrase = tuple[str, ...]


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    if text.isascii():
        found = _ASCII.findall(text.lower())
    else:
        plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        found = _ANY.findall(_ACCENTS.sub("", plain))
    return [one[:LONGEST] for one in found]


def line(texts: Iterable[str]) -> str:
    """A line for each text that has words."""
    return "\n".join(f" {' '.join(found)} " for text in texts if (found := words(text)))


def phrases(asked: str) -> list[Phrase]:
    """What a search asks for: words, each to be found, and phrases in quotes. Raises ValueError: there are no words, or too many."""
    parts = asked.split('"')
    found: list[Phrase] = []
    for number, part in enumerate(parts):
        quoted = number % 2 == 1 and number < len(parts) - 1
        found += [tuple(words(one)) for one in ([part] if quoted else part.split())]
    found = list(dict.fromkeys(one for one in found if one))
    if not found:
        raise ValueError("has no words")
    if sum(map(len, found)) > ASKED:
        raise ValueError(f"has more than {ASKED} words")
    return found
