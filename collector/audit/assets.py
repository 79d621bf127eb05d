"""GET /docs, the API's description for people, and GET /assets/…, what pages load. Nothing of it is loaded from anywhere else.

They tell nothing of what is stored, so nobody is asked who he is.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from collector.page.render import ASSETS, asset

MANUAL = files("fastapi_offline") / "static"
SERVED = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Meshscribe audit API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
<div id="manual"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
START = b"""SwaggerUIBundle({url: "openapi.json", dom_id: "#manual", deepLinking: true, validatorUrl: null, defaultModelsExpandDepth: 0});
"""
PATHS = frozenset(f"/assets/{name}" for name in ASSETS)


def router() -> APIRouter:
    """The routes of the manual, and of the files that pages load."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def page() -> Response:
        return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    @routes.get("/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    for name, media_type in SERVED.items():
        _serve_manual(routes, name, media_type)
    for name, media_type in ASSETS.items():
        _serve(routes, name, media_type)
    return routes


def _serve_manual(routes: APIRouter, name: str, media_type: str) -> None:
    @routes.get(f"/docs/{name}")
    async def file() -> FileResponse:
        return FileResponse(str(MANUAL / name), media_type=media_type, headers={"Cache-Control": "max-age=86400"})


def _serve(routes: APIRouter, name: str, media_type: str) -> None:
    @routes.get(f"/assets/{name}", name=f"asset {name}")
    async def file() -> Response:
        return Response(asset(name), media_type=media_type, headers={"Cache-Control": "max-age=3600"})
