"""Who a request's body says is behind it, in the fields that protocols have for it: the caller's own word, in clear.

OpenAI: `safety_identifier`, which took the place of `user`; the Responses API's `conversation`. Anthropic: `metadata.user_id`. What tells
no person and no session is left out: `prompt_cache_key` names a cache, `previous_response_id` one answer, and is another in every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collector.decode.values import Object, mapping, name
from collector.messages.inference import ProtocolName
from collector.messages.people import LONGEST, PersonKind

Said = dict[PersonKind, str]


def find(protocol: ProtocolName | None, asked: object) -> Said:
    """What the request says of its user and its session; nothing if it does not."""
    read = _READERS.get(protocol) if protocol else None
    return read(asked) if read is not None and isinstance(asked, dict) else {}


def _openai(asked: Object) -> Said:
    user = name(asked.get("safety_identifier"), LONGEST) or name(asked.get("user"), LONGEST)
    return {"user": user} if user else {}


def _responses(asked: Object) -> Said:
    said, told = _openai(asked), asked.get("conversation")
    conversation = name(mapping(told).get("id") if isinstance(told, dict) else told, LONGEST)
    if conversation:
        said["session"] = conversation
    return said


def _anthropic(asked: Object) -> Said:
    user = name(mapping(asked.get("metadata")).get("user_id"), LONGEST)
    return {"user": user} if user else {}


_READERS: Mapping[ProtocolName, Callable[[Object], Said]] = {
    "openai-chat": _openai,
    "openai-completions": _openai,
    "openai-embeddings": _openai,
    "openai-images": _openai,
    "openai-responses": _responses,
    "anthropic-messages": _anthropic,
}
PROTOCOLS = frozenset(_READERS)
