"""What a command loads before it does anything: a shell's completion, `--help` and `config check` need no server and no client."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVERS = {"aiokafka", "alembic", "asyncpg", "fastapi", "grpc", "kubernetes_asyncio", "sqlalchemy", "uvicorn", "uvloop"}
CLIENTS = {"aiohttp", "httpx", "msgspec"}
OTHERS = {"asyncio", "envoy", "google", "opentelemetry"}
LOADED = "import sys\nfrom collector.cli import main\ntry:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "needless"),
    [
        ("--help", SERVERS | CLIENTS | OTHERS | {"pydantic", "yaml"}),
        ("serve --help", SERVERS | CLIENTS | OTHERS | {"yaml"}),
        ("config check", SERVERS | CLIENTS | OTHERS - {"asyncio"} | {"rich"}),  # pydantic's settings bring asyncio
        ("query --url http://127.0.0.1:1", SERVERS | OTHERS - {"asyncio"}),  # httpx brings asyncio
    ],
)
def test_a_command_loads_only_what_it_uses(arguments: str, needless: set[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments.split()], capture_output=True, timeout=120, check=False)
    loaded = {name.partition(".")[0] for name in done.stderr.decode().split("\n")[-2].split()}
    assert "typer" in loaded, done.stderr
    assert loaded & needless == set()


@pytest.mark.slow
def test_the_access_logs_listener_waits_for_no_library_that_it_does_not_use() -> None:
    """Each tenth of a second before it listens costs access log entries (docs/restarts.md)."""
    code = "import sys, collector.app, collector.roles.all\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "grpc" in loaded
    assert loaded & {"aiokafka", "alembic", "asyncpg", "fastapi", "httpx", "kubernetes_asyncio", "rich", "sqlalchemy", "starlette"} == set()
