"""GET /v1/exchanges/{id}/conversation and …/timeline: what was said, and when, made of what is stored."""

from __future__ import annotations

import asyncio

import orjson
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.audit import documents
from collector.audit.looking import saw
from collector.audit.parameters import Revision
from collector.audit.stored_exchange import Whole, read_whole
from collector.conversation.telling import conversation, without_texts
from collector.conversation.timeline import timeline
from collector.messages.plain import plain


def router(engine: AsyncEngine) -> APIRouter:
    """The routes of conversations."""
    routes = APIRouter(tags=["exchanges"])

    @routes.get("/v1/exchanges/{id}/conversation", responses=documents.CONVERSATION, summary="What was said, as messages by role")
    async def get_conversation(request: Request, id: str, query: Revision) -> Response:  # noqa: A002
        """Prompt and answer, whatever the protocol; tools with their results; what is missing, in words."""
        async with engine.connect() as connection:
            whole = await read_whole(connection, request, id, query.revision)
        saw(request, "conversation", 1, (whole.id,) if whole.texts else ())
        return Response(await asyncio.to_thread(_conversation, whole), media_type="application/json")

    @routes.get("/v1/exchanges/{id}/timeline", responses=documents.TIMELINE, summary="The answer's stream, with the time of each event")
    async def get_timeline(request: Request, id: str, query: Revision) -> Response:  # noqa: A002
        """Chunks and events, the first token, waits and stalls, the moment the client left."""
        async with engine.connect() as connection:
            whole = await read_whole(connection, request, id, query.revision, ("response",))
        saw(request, "timeline", 1, (whole.id,) if whole.texts else ())
        return Response(await asyncio.to_thread(_timeline, whole), media_type="application/json")

    return routes


def _conversation(whole: Whole) -> bytes:
    told = conversation(whole.record, whole.bodies["request"].side, whole.bodies["response"].side)
    return _json(told if whole.texts else without_texts(told))


def _timeline(whole: Whole) -> bytes:
    body = whole.bodies["response"]
    return _json(timeline(whole.record, body.side, body.chunk_times, whole.texts))


def _json(told: object) -> bytes:
    """What JSON cannot hold, which only a strange record has, is left out."""
    try:
        return orjson.dumps(told)
    except orjson.JSONEncodeError:
        return orjson.dumps(plain(told, []))
