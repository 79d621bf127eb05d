"""The audit port: /healthz, /readyz and /metrics from the first moment, and the audit API as long as there is one."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.audit import probes
from collector.health import Health
from collector.receive.problem import answer_with_problems, problem
from collector.roles.listen_audit import listen_audit
from collector.roles.parts import Starting
from collector.roles.phase import PhasedHealth

NOT_HERE = "the process is starting or stopping: the audit API is not here"


class Front:
    """The app on the audit port: probes alone, until `show` and after `hide`."""

    def __init__(self, address: str, only_probes: ASGIApp) -> None:
        self.address = address
        self._only_probes = self._app = only_probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def show(self, app: ASGIApp) -> None:
        """From now on this one answers."""
        self._app = app

    def hide(self) -> None:
        """Again the probes alone: what the API stands on is about to close."""
        self._app = self._only_probes


async def start_probes(starting: Starting, health: Health) -> str:
    """For a role without the audit API. Returns the address."""
    return (await _start(starting, _app(starting, health))).address


async def start_front(starting: Starting, health: Health) -> Front:
    """For a role that will have the audit API; until then whoever asks for more than probes hears what is waited for."""
    app = _app(starting, health)

    async def not_here(_: Request) -> Response:
        waits = [f"{part.name}: {part.detail}" for part in health.components() if not part.ok and part.detail not in ("", "starting")]
        return problem(503, "; ".join([NOT_HERE, *waits]), {"retry-after": "1"})

    app.add_route("/{path:path}", not_here, methods=["GET", "HEAD", "POST"], include_in_schema=False)
    return await _start(starting, app)


def _app(starting: Starting, health: Health) -> FastAPI:
    app = FastAPI(title="Meshscribe", openapi_url=None, redirect_slashes=False)
    app.include_router(probes.router(PhasedHealth(health, starting.phase), starting.registry))
    answer_with_problems(app)
    return app


async def _start(starting: Starting, app: FastAPI) -> Front:
    front = Front("", app)
    front.address = await listen_audit(starting.settings.audit, starting.registry, starting.stack, front)
    return front
