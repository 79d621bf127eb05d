"""The last messages that were sent, so that what ended a collector can be sent again."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KEPT = 4000
KEPT_BYTES = 64 << 20


class Sent(NamedTuple):
    """`kind`: post, opening or log. `line`: the connection it was sent on; a log belongs to the opening before it on its line."""

    kind: str
    line: int
    data: bytes
    encoding: str = ""


class Recent:
    """Bounded by number and bytes; the newest are kept."""

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque()
        self._bytes = 0

    def add(self, sent: Sent) -> None:
        self._sent.append(sent)
        self._bytes += len(sent.data)
        while len(self._sent) > KEPT or self._bytes > KEPT_BYTES:
            self._bytes -= len(self._sent.popleft().data)

    def save(self, path: Path) -> Path:
        """Writes a file for `python -m tests.fuzz --replay`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            for sent in self._sent:
                file.write(json.dumps({**sent._asdict(), "data": base64.b64encode(sent.data).decode()}) + "\n")
        return path


def saved(path: Path) -> Iterator[Sent]:
    """What `save` wrote."""
    with path.open() as file:
        for line in file:
            told = json.loads(line)
            yield Sent(**{**told, "data": base64.b64decode(told["data"])})
