"""GET /assets/…: the sheet, the script and the icon that pages load. They tell nothing, so nobody is asked who he is."""

from __future__ import annotations

from fastapi import APIRouter, Response

from collector.page.render import ASSETS, asset

PATHS = frozenset(f"/assets/{name}" for name in ASSETS)


def router() -> APIRouter:
    """The routes of these files."""
    routes = APIRouter(include_in_schema=False)
    for name, media_type in ASSETS.items():
        _serve(routes, name, media_type)
    return routes


def _serve(routes: APIRouter, name: str, media_type: str) -> None:
    @routes.get(f"/assets/{name}", name=f"asset {name}")
    async def file() -> Response:
        return Response(asset(name), media_type=media_type, headers={"Cache-Control": "max-age=3600"})
