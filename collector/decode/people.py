"""Who a request's body says is behind it, in the fields that protocols have for it: the caller's own word, in clear.

OpenAI: `safety_identifier`, which took the place of `user`; the Responses API's `conversation`. Anthropic: `metadata.user_id`. What tells
no person and no session is left out: `prompt_cache_key` names a cache, `previous_response_id` one answer, and is another in every turn.

Claude Code writes its session into the user's id, in one of two forms. They are told apart, else a person would be another in each session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from collector.decode.json_text import NotJSONError, loads
from collector.decode.values import Object, mapping, name
from collector.messages.inference import ProtocolName
from collector.messages.people import LONGEST, PersonKind

Said = dict[PersonKind, str]
_WITH_SESSION = re.compile(r"(user_[0-9a-f]{64}_account_[0-9a-f-]{0,36})_session_([0-9a-f-]{8,36})")


def find(protocol: ProtocolName | None, asked: object) -> Said:
    """What the request says of its user and its session; nothing if it does not."""
    read = _READERS.get(protocol) if protocol else None
    return read(asked) if read is not None and isinstance(asked, dict) else {}


def _openai(asked: Object) -> Said:
    return _apart(name(asked.get("safety_identifier"), LONGEST) or name(asked.get("user"), LONGEST))


def _responses(asked: Object) -> Said:
    said, told = _openai(asked), asked.get("conversation")
    conversation = name(mapping(told).get("id") if isinstance(told, dict) else told, LONGEST)
    if conversation:
        said["session"] = conversation
    return said


def _anthropic(asked: Object) -> Said:
    return _apart(name(mapping(asked.get("metadata")).get("user_id"), LONGEST))


def _apart(user: str | None) -> Said:
    if not user:
        return {}
    if user.startswith("user_") and (found := _WITH_SESSION.fullmatch(user)):
        return {"user": found[1], "session": found[2]}
    if user.startswith("{") and (told := _object(user)):
        account = name(told.get("account_uuid"), LONGEST) or name(told.get("device_id"), LONGEST)
        session = name(told.get("session_id"), LONGEST)
        if account and session:
            return {"user": account, "session": session}
    return {"user": user}


def _object(text: str) -> Object:
    try:
        return mapping(loads(text.encode("utf-8", "surrogatepass")))
    except NotJSONError:
        return {}


_READERS: Mapping[ProtocolName, Callable[[Object], Said]] = {
    "openai-chat": _openai,
    "openai-completions": _openai,
    "openai-embeddings": _openai,
    "openai-images": _openai,
    "openai-responses": _responses,
    "anthropic-messages": _anthropic,
}
PROTOCOLS = frozenset(_READERS)
