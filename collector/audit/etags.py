"""Answers that a client may have already: it says so with If-None-Match and is answered 304, without the body.

The tag is a hash of the answer itself, so it is right whoever asks, whatever a later revision or another look adds to it. Answers stay
`no-store`: prompts belong on no disk but the store's; a client that keeps its own copy is what this is for.
"""

from __future__ import annotations

from hashlib import sha256

from fastapi import Request, Response


def tagged(request: Request, answer: Response) -> Response:
    """The answer with its ETag, or 304. Errors have none."""
    if answer.status_code != 200:
        return answer
    about = repr(sorted(value for value in answer.headers.items() if value[0].startswith(("content-type", "meshscribe-"))))
    tag = f'"{sha256(about.encode() + bytes(answer.body)).hexdigest()[:32]}"'
    answer.headers["ETag"] = tag
    if not _has(request.headers.get("if-none-match", ""), tag):
        return answer
    kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    return Response(status_code=304, headers=kept)


def _has(told: str, tag: str) -> bool:
    """Whether one of the tags is this one, weak or strong (RFC 9110, 13.1.2)."""
    return told.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in told.split(","))
