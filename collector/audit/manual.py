"""GET /docs: the API's description for people. It works without a network: nothing is loaded from anywhere else."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

ASSETS = files("fastapi_offline") / "static"
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


def router() -> APIRouter:
    """The routes of the manual."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def page() -> Response:
        return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    @routes.get("/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    for name, media_type in SERVED.items():
        _serve(routes, name, media_type)
    return routes


def _serve(routes: APIRouter, name: str, media_type: str) -> None:
    @routes.get(f"/docs/{name}")
    async def asset() -> FileResponse:
        return FileResponse(str(ASSETS / name), media_type=media_type, headers={"Cache-Control": "max-age=86400"})
