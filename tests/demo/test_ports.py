"""A reserved port is its server's, before, while and after it listens."""

from __future__ import annotations

import asyncio
import socket

import grpc.aio

from collector.demo.parts import listens
from collector.demo.ports import Ports


def test_the_kernel_gives_a_reserved_port_to_nobody_else() -> None:
    with Ports() as ports:
        reserved = {ports.take() for _ in range(100)}
        assert len(reserved) == 100
        for _ in range(3000):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind(("127.0.0.1", 0))
                assert other.getsockname()[1] not in reserved


def test_a_port_counts_as_listening_only_while_a_server_does() -> None:
    with Ports() as ports:
        port = ports.take()
        assert not listens(port)
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen()
            assert listens(port)
        assert not listens(port)


async def test_a_server_listens_on_a_reserved_port_again_and_again() -> None:
    with Ports() as ports:
        http, rpc = ports.take(), ports.take()
        for _ in range(2):
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", http)
            server.close()
            await server.wait_closed()
            rpc_server = grpc.aio.server()
            assert rpc_server.add_insecure_port(f"127.0.0.1:{rpc}") == rpc
            await rpc_server.start()
            await rpc_server.stop(None)


def test_ports_are_free_again_after_the_end() -> None:
    with Ports() as ports:
        port = ports.take()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
