"""Recorders that stand between a client and a server and keep what passes: HTTP by Starlette and httpx, gRPC by a generic handler."""

import base64
import threading
import time
from concurrent import futures

import grpc
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

SECRET = ("authorization", "x-api-key", "host", "date")


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def kept(headers) -> list[list[str]]:
    """Header pairs without what is secret or differs from run to run."""
    return [[name, value] for name, value in headers if name not in SECRET and not name.startswith("x-stainless")]


class Http:
    """Forwards to `upstream`; `taken()` gives what passed since the last time."""

    def __init__(self, upstream: str, port: int) -> None:
        self._client = httpx.AsyncClient(base_url=upstream, timeout=30)
        self._taken: list[dict] = []
        methods = ["GET", "POST", "DELETE", "PUT"]
        app = Starlette(routes=[Route("/{path:path}", self._pass_on, methods=methods)])
        serve(app, port)

    def taken(self) -> list[dict]:
        taken, self._taken = self._taken, []
        return taken

    async def _pass_on(self, request: Request) -> StreamingResponse:
        start = time.perf_counter()
        body = await request.body()
        path = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        headers = [(name, value) for name, value in request.headers.items() if name != "host"]
        answer = await self._client.send(self._client.build_request(request.method, path, headers=headers, content=body), stream=True)
        record = {
            "method": request.method,
            "path": path,
            "status": answer.status_code,
            "request_headers": kept(headers),
            "request_body": text(body),
            "response_headers": kept(answer.headers.items()),
            "response_trailers": [],
            "chunks": [],
        }
        self._taken.append(record)
        answered = bytearray()

        async def chunks():
            async for chunk in answer.aiter_raw():
                record["chunks"].append([len(answered), len(chunk), round(time.perf_counter() - start, 6)])
                answered.extend(chunk)
                record["response_body"] = text(bytes(answered))
                yield chunk
            record.setdefault("response_body", "")

        same = {
            name: value for name, value in answer.headers.items() if name not in ("content-length", "transfer-encoding", "date", "server")
        }
        return StreamingResponse(chunks(), answer.status_code, same)


class Grpc(grpc.GenericRpcHandler):
    """Forwards every method as a stream of opaque messages; writes the frames anew, without compression."""

    def __init__(self, upstream: str, port: int) -> None:
        self._channel = grpc.insecure_channel(upstream)
        self._taken: list[dict] = []
        server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[self])
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        self._server = server

    def taken(self) -> list[dict]:
        taken, self._taken = self._taken, []
        return taken

    def service(self, details):
        return grpc.stream_stream_rpc_method_handler(lambda messages, context: self._pass_on(details.method, messages, context))

    def _pass_on(self, method, messages, context):
        start = time.perf_counter()
        asked, answered = bytearray(), bytearray()
        record = {
            "method": "POST",
            "path": method,
            "status": 200,
            "request_headers": [["content-type", "application/grpc"], ["te", "trailers"]],
        }
        record |= {"response_headers": [["content-type", "application/grpc"]], "chunks": []}
        self._taken.append(record)

        def noted():
            for message in messages:
                asked.extend(frame(message))
                yield message

        call = self._channel.stream_stream(method)(noted())
        try:
            for message in call:
                data = frame(message)
                record["chunks"].append([len(answered), len(data), round(time.perf_counter() - start, 6)])
                answered.extend(data)
                yield message
        except grpc.RpcError as error:
            context.set_code(error.code())
            context.set_details(error.details())
        details = [["grpc-message", call.details()]] if call.details() else []
        record["response_trailers"] = [["grpc-status", str(call.code().value[0])], *details]
        record |= {"request_body": text(bytes(asked)), "response_body": text(bytes(answered))}


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def serve(app, port: int) -> None:
    """In a thread of its own, until the process ends."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
