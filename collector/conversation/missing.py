"""What of an exchange's texts is not there, and why, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from collector.conversation.stored import Side
from collector.decode.values import Object, items, mapping

_ENDS = {
    "client_aborted": "The client left before the end of the answer.",
    "upstream_reset": "The server broke the answer off.",
    "unfinished": "Nobody saw the end of this exchange.",
}
_NO_TAP = ("tap_missing", "not_tapped")


def words(record: Object, sides: Sequence[Side]) -> list[str]:
    """A sentence for each thing that is missing; none: all that passed is there."""
    flags = items(record.get("completeness"))
    if record.get("damaged") is True:
        return ["The record is damaged: what was said cannot be read as it was written."]
    said: list[str] = []
    if mapping(record.get("policy")) == {} and any(flag in flags for flag in _NO_TAP):
        said.append(
            "No tap told of this exchange, so nothing of its bodies is known."
            if "tap_missing" in flags
            else "This exchange was not tapped, so nothing of its bodies is known."
        )
    else:
        for side in sides:
            said += _of_side(record, side)
    return [*said, *(text for flag, text in _ENDS.items() if flag in flags)]


def _of_side(record: Object, side: Side) -> list[str]:
    whose = f"The {side.name}'s body"
    told = mapping(mapping(record.get(side.name)).get("body"))
    if told.get("left_out"):
        return [f"{whose} is not kept ({told['left_out']})."]
    if told.get("redacted") == "all":
        return [f"{whose} is withheld by redaction rules."]
    said = [f"Parts of {whose[0].lower()}{whose[1:]} are hidden by redaction rules."] if told.get("redacted") else []
    captured, size = told.get("captured"), told.get("size")
    if captured is None:
        return [*said, f"{whose} was not captured{_by_rule(record)}."] if size else said
    if side.damaged:
        return [*said, f"{whose} is damaged in the store: {side.damaged}"]
    if side.data is None and captured:
        return [*said, f"{whose} is not stored any more."]
    if gaps := items(told.get("gaps")):
        said.append(f"{whose} has {len(gaps)} hole{'s' if len(gaps) > 1 else ''}: what is behind the first is not shown.")
    elif told.get("truncated") is True:
        said.append(f"{whose} is cut: {captured}{f' of {size}' if size is not None else ''} bytes were captured.")
    return said


def _by_rule(record: Object) -> str:
    policy = mapping(record.get("policy"))
    return f" (rule {policy.get('rule')!s:.80}, level {policy.get('level')!s:.40})" if policy else ""
