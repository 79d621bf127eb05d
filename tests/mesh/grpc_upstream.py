"""A gRPC server with bare bytes for messages, standing where a KServe V2 gRPC predictor would."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "inference.GRPCInferenceService"
STREAM = f"/{SERVICE}/ModelStreamInfer"
INFER = f"/{SERVICE}/ModelInfer"


def _stream(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """Every message comes back twice as long."""
    for message in messages:
        yield message * 2
    context.set_trailing_metadata((("x-model-load", "7"),))


def _infer(message: bytes, context: grpc.ServicerContext) -> bytes:
    if not message:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no inputs")
    return message * 2


def serve(port: int) -> grpc.Server:
    """A running server on 127.0.0.1:`port`."""
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(_stream),
        "ModelInfer": grpc.unary_unary_rpc_method_handler(_infer),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    return server
