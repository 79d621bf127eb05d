"""Tells which tool's result answers which call: by the call's id, else by the tool's name in the order of calls. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from collector.conversation.document import Link, Message, Part

_Open = dict[str, deque[tuple[Link, Part]]]


def pair(messages: Sequence[Message]) -> None:
    """Sets `link` of each pair. A result answers a call that stands before it and has no result yet."""
    by_id: _Open = defaultdict(deque)
    by_name: _Open = defaultdict(deque)
    for number, message in enumerate(messages):
        for place, part in enumerate(message["parts"]):
            here: Link = {"message": number, "part": place}
            if part["kind"] == "tool_call":
                by_name[part.get("name", "")].append((here, part))
                if "id" in part:
                    by_id[part["id"]].append((here, part))
            elif part["kind"] == "tool_result":
                _answer(by_id[part["id"]] if "id" in part else by_name[part.get("name", "")], here, part)


def _answer(waiting: deque[tuple[Link, Part]], here: Link, result: Part) -> None:
    while waiting:
        there, call = waiting.popleft()
        if "link" not in call:
            call["link"], result["link"] = here, there
            if "name" in call:
                result.setdefault("name", call["name"])
            return
