"""Free TCP ports that stay free until their server has bound them, and while it is restarted.

A reserved port is held by a bound socket that never listens. On Linux a server that sets SO_REUSEADDR (all of ours do)
may bind and listen on it all the same, while the kernel gives it to nobody who asks for any free port, nor to an
outgoing connection.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from types import TracebackType


class Ports:
    """Reserves ports on 127.0.0.1 until it is closed. A context manager."""

    def __init__(self) -> None:
        self._held = ExitStack()

    def take(self) -> int:
        """A free port. Raises OSError if there is none."""
        holder = self._held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Ports:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
