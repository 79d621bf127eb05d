"""Every error of the audit API is problem JSON (RFC 9457): one shape, whatever went wrong.

A fault of ours is logged with an id and answered with that id alone: nothing of the inside leaves the process.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from collector.audit.long_answers import NoSeatError
from collector.audit.looking import ForbiddenError, ReasonNeededError
from collector.errors import BadInputError, PermanentError
from collector.store.errors import of_file

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MEDIA_TYPE = "application/problem+json"
UNAUTHENTICATED = "urn:meshscribe:problem:unauthenticated"
BAD_PARAMETERS = "urn:meshscribe:problem:bad-parameters"
STORE_UNAVAILABLE = "urn:meshscribe:problem:store-unavailable"
DAMAGED = "urn:meshscribe:problem:damaged"
QUERY_TOO_LONG = "urn:meshscribe:problem:query-too-long"
TOO_LONG = (
    "The query took longer than a query may (audit.query_seconds) and was given up: ask for a shorter time (since, until), or for one"
    " namespace, service or node."
)
_LINE = "q"  # what is wrong with no parameter by itself is wrong with the line of filters
REASON_NEEDED = "urn:meshscribe:problem:reason-needed"
NO_REASON = (
    "This holds what was asked or answered. Say why you look at it: with the header Meshscribe-Reason, or with the parameter reason."
)
FORBIDDEN = "urn:meshscribe:problem:forbidden"
LOOK_NOT_WRITTEN = "urn:meshscribe:problem:look-not-written"
FAULT = "urn:meshscribe:problem:fault"
STORE_ERRORS = (OperationalError, InterfaceError, PoolTimeoutError, OSError)
# Connection, login, catalogue, tables that are missing, resources, locks, an operator's or a timeout's intervention, system errors.
_SERVER_STATES = ("08", "25", "28", "3D", "42P01", "53", "55", "57", "58")
SEAT_SECONDS = 5  # after which a seat may be free
_log = logging.getLogger(__name__)


class Fault(NamedTuple):
    """One bad parameter and what is wrong with it."""

    parameter: str
    detail: str


class BadParametersError(BadInputError):
    """The request's parameters are wrong: all faults at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.parameter}: {fault.detail}" for fault in faults))
        self.faults = list(faults)


class NotFoundError(PermanentError):
    """What was asked for is not in the store. The message says what, and why it may be so."""


def problem(status: int, detail: str, kind: str = "about:blank", *, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    """A problem JSON response. `more` are its extension members."""
    title = HTTPStatus(status).phrase
    body = {"type": kind, "title": title, "status": status, "detail": detail, **more}
    return Response(msgspec.json.encode(body), status, dict(headers or {}), MEDIA_TYPE)


def used_up(share: str, quota: int, seconds: int = 1) -> dict[str, str]:
    """The headers of a 429 (draft-ietf-httpapi-ratelimit-headers): which share is used up, and when to ask again."""
    return {
        "Retry-After": str(seconds),
        "RateLimit-Policy": f'"{share}";q={quota};qu="concurrent-requests"',
        "RateLimit": f'"{share}";r=0;t={seconds}',
    }


def fault(error: BaseException, what: str) -> Response:
    """The answer to an error of ours, which is logged with the id that the caller gets."""
    instance = uuid.uuid4().urn
    if isinstance(error, DBAPIError):
        _shorten(error)
    if _of_file(error):
        _log.error("the store's file is damaged: %s: %s [%s]", what, error, instance)
        return damaged("The store's file is damaged where this would have been read. `meshscribe verify` names what is.", instance=instance)
    if _was_ended(error):
        _log.warning("a query was given up: %s [%s]", what, instance)
        return problem(503, TOO_LONG, QUERY_TOO_LONG, headers={"Retry-After": "5"}, instance=instance)
    if isinstance(error, STORE_ERRORS) or _of_server(error):
        _log.error("store unavailable: %s: %s [%s]", what, error, instance)
        detail = "The store does not answer, or has not been migrated. The collector's log says more under the instance's id."
        return problem(503, detail, STORE_UNAVAILABLE, headers={"Retry-After": "5"}, instance=instance)
    _log.error("fault: %s [%s]", what, instance, exc_info=error)
    return problem(500, "A fault of the collector's. Its log says more under the instance's id.", FAULT, instance=instance)


def damaged(detail: str, *, instance: str | None = None) -> Response:
    """The answer where what is stored is not what was written."""
    return problem(500, detail, DAMAGED) if instance is None else problem(500, detail, DAMAGED, instance=instance)


def _of_file(error: BaseException) -> bool:
    """Whether SQLite says that its file is damaged."""
    return isinstance(error, DBAPIError) and error.orig is not None and of_file(error.orig)


def _was_ended(error: BaseException) -> bool:
    """Whether the store gave the query up at its limit."""
    told = error.orig if isinstance(error, DBAPIError) else None
    interrupted = getattr(told, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return interrupted or getattr(told, "sqlstate", None) == "57014"  # query_canceled


def _shorten(error: DBAPIError) -> None:
    """The log is no place for a whole statement, nor for what it was asked with."""
    error.statement = (error.statement or "")[:200]
    error.hide_parameters = True


def _of_server(error: BaseException) -> bool:
    """Whether a Postgres server says that it cannot answer now. Its driver has no class for that, so the SQLSTATE tells."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return state is not None and state.startswith(_SERVER_STATES)


def install(app: FastAPI) -> None:
    """Makes every error that a route raises a problem."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BadParametersError, _bad)
    app.add_exception_handler(NotFoundError, _missing)
    app.add_exception_handler(ForbiddenError, _forbidden)
    app.add_exception_handler(ReasonNeededError, _no_reason)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(NoSeatError, _full)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _bad_parameters([_fault(found) for found in error.errors()])


async def _bad(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadParametersError)
    return _bad_parameters(error.faults)


async def _missing(_: Request, error: Exception) -> Response:
    return problem(404, str(error))


async def _full(_: Request, error: Exception) -> Response:
    assert isinstance(error, NoSeatError)
    return problem(429, str(error), headers=used_up(error.what, error.quota, SEAT_SECONDS))


async def _forbidden(_: Request, error: Exception) -> Response:
    assert isinstance(error, ForbiddenError)
    return problem(403, f"{str(error).capitalize()}.", FORBIDDEN, right=error.right.value)


async def _no_reason(_: Request, error: Exception) -> Response:
    del error
    return problem(403, NO_REASON, REASON_NEEDED)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    detail = {
        404: f"There is nothing at {path}. /docs lists what there is.",
        405: f"{path} does not take {request.method}.",
    }.get(error.status_code, str(error.detail))
    return problem(error.status_code, detail, headers=error.headers)


def _bad_parameters(faults: Sequence[Fault]) -> Response:
    names = ", ".join(dict.fromkeys(found.parameter for found in faults))
    errors = [found._asdict() for found in faults]
    return problem(400, f"Nothing was looked up. Wrong: {names}.", BAD_PARAMETERS, errors=errors)


def _fault(found: ErrorDetails) -> Fault:
    """A fault as FastAPI reports it; its location is (where, name, …)."""
    name = str(found["loc"][1]) if len(found["loc"]) > 1 else _LINE
    if found["type"] == "extra_forbidden":
        return Fault(name, "no such parameter here; /docs lists what there is")
    return Fault(name, found["msg"].removeprefix("Value error, "))
