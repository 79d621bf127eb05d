"""A server of MCP by the official library, of both forms: `python -m tests.mesh.mcp_server PORT`."""

from __future__ import annotations

import sys
from typing import Annotated

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from pydantic import Field

server = MCPServer("lab", version="1.0")


@server.tool()
async def weather(city: Annotated[str, Field(json_schema_extra={"x-mcp-header": "City"})]) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@server.tool()
async def slow(steps: int, context: Context) -> str:
    """Tells its progress."""
    for step in range(steps):
        await context.report_progress(step + 1, steps)
    return "done"


@server.tool()
async def failing() -> str:
    """Fails."""
    raise ValueError("no such city")


@server.resource("lab://notes/{name}")
async def notes(name: str) -> str:
    """A note."""
    return f"note {name}"


@server.prompt()
async def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}"


if __name__ == "__main__":
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
