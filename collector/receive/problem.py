"""Answers to HTTP requests that cannot be accepted: problem JSON (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Refusal(Exception):  # noqa: N818 - not an error of ours
    """Ends a request. `result` is its label in the metrics."""

    def __init__(self, status: int, result: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.result = result
        self.detail = detail
        self.headers = headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer: type, title (the status' own words), status and detail."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def answer_with_problems(app: FastAPI) -> None:
    """Makes the app's own errors (404, 405, 500) problem JSON too."""

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, _detail(request, error.status_code), error.headers)

    async def on_other(_: Request, __: Exception) -> Response:
        return problem(500, "an error in the collector: its log says more")

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_other)


def _detail(request: Request, status: int) -> str:
    where = f"{request.method} {request.url.path}"
    return f"{where}: there is nothing here" if status == 404 else f"{where}: not possible here"
