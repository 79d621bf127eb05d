"""The pages' routes, and the files that they load. Put before the audit API of the same application."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from collector.audit.problems import REASON_NEEDED
from collector.clock import Clock
from collector.page.render import Pages
from collector.views import access, exchange, exchanges, losses, services, status, together, usage
from collector.views.api import Api, RefusedError
from collector.views.view import View, frame

TITLES = {
    400: "The question is not understood",
    403: "This is not for you to see",
    404: "There is nothing here",
    429: "Too many questions at once",
    503: "The store does not answer",
}
Show = Callable[[Request, Api, Pages], Awaitable[Response]]


def mount(app: FastAPI, clock: Clock, page_limit: int, annotations: Sequence[str] = ()) -> None:
    """Adds the pages to the application; they ask its own API. `annotations`: by which usage can be grouped, and that can be columns."""
    pages = Pages()
    routes = APIRouter(include_in_schema=False)

    async def shown(request: Request, show: Callable[[Api], Awaitable[Response]]) -> Response:
        return await _shown(request, Api(app, request.scope, page_limit), pages, show)

    def serve(path: str, show: Show) -> None:
        @routes.get(path, name=f"page {path}")
        async def page(request: Request) -> Response:
            return await shown(request, lambda api: show(request, api, pages))

    for path, show in (
        ("/", partial(exchanges.show, annotations=annotations)),
        ("/usage", partial(usage.show, clock=clock, annotations=annotations)),
        ("/losses", losses.show),
        ("/services", services.show),
        ("/access", access.show),
        ("/status", status.show),
        (together.PATH, together.show),
    ):
        serve(path, show)

    @routes.get("/exchanges/{id}")
    async def one_exchange(request: Request, id: str) -> Response:  # noqa: A002
        return await shown(request, lambda api: exchange.show(request, api, pages, clock, id))

    @routes.get("/services/{namespace}/{name}")
    async def one_service(request: Request, namespace: str, name: str) -> Response:
        return await shown(request, lambda api: services.show_one(request, api, pages, namespace, name))

    app.include_router(routes)
    answers = app.exception_handlers[HTTPException]

    async def missing(request: Request, error: Exception) -> Response:
        """A person who mistypes an address gets a page that leads on; a program gets what the API says."""
        found = answers(request, error)
        said = await found if inspect.isawaitable(found) else found
        if said.status_code != 404 or "text/html" not in request.headers.get("accept", ""):
            return said
        return await shown(request, _nowhere(request.url.path))

    app.add_exception_handler(HTTPException, missing)


def _nowhere(path: str) -> Callable[[Api], Awaitable[Response]]:
    async def show(_: Api) -> Response:
        raise RefusedError(404, f"No page has the address {path}.")

    return show


async def _shown(request: Request, api: Api, pages: Pages, show: Callable[[Api], Awaitable[Response]]) -> Response:
    try:
        try:
            return await show(api)
        finally:
            await api.give_up()
    except RefusedError as error:
        title = TITLES.get(error.status, "This cannot be shown")
        view = await _frame(request, api)
        if error.kind == REASON_NEEDED:
            asked = {"path": request.url.path, "kept": request.query_params.multi_items()}
            return pages.answer("reason.html", {"view": view, **asked}, error.status)
        return pages.answer(
            "fault.html", {"view": view, "title": title, "detail": str(error), "back": "/", "back_name": "To the exchanges"}, error.status
        )


async def _frame(request: Request, api: Api) -> View:
    try:
        return await frame("", request, api)
    except RefusedError:
        return View("", None, "")
