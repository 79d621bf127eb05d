"""`meshscribe decode`: what captured bytes mean, without a collector."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_STANDARD_INPUT = "-"
File = Annotated[Path | None, typer.Option(help="File of [[name, value], …], or - for standard input.")]
Bytes = Annotated[Path | None, typer.Option(help="File of the bytes as they passed, or - for standard input.")]


def decode(
    method: Annotated[str, typer.Option(help="HTTP method.")],
    path: Annotated[str, typer.Option(help="Path, as it was sent.")],
    status: Annotated[int | None, typer.Option(min=100, max=599, help="Status of the response.")] = None,
    request_headers: File = None,
    request_body: Bytes = None,
    response_headers: File = None,
    response_body: Bytes = None,
    response_trailers: File = None,
    chunks: Annotated[Path | None, typer.Option(help="File of [[offset, length, seconds since the request's start], …].")] = None,
) -> None:
    """Prints the inference, usage and timing of captured bytes, as a record holds them.

    **Examples**

    - `meshscribe decode --method POST --path /v1/chat/completions --status 200 --response-body answer.sse`

    - `meshscribe query ID --body response | meshscribe decode --method POST --path /v1/completions --response-body -`
    """
    import msgspec

    from collector.commands import screen
    from collector.commands.exits import InputError
    from collector.decode.command import decode_files

    given = (request_headers, request_body, response_headers, response_body, response_trailers, chunks)
    if [str(file) for file in given].count(_STANDARD_INPUT) > 1:
        raise typer.BadParameter("only one file can be standard input")
    try:
        told = decode_files(
            method=method,
            path=path,
            status=status,
            request_headers=_read(request_headers),
            request_body=_read(request_body) or b"",
            response_headers=_read(response_headers),
            response_body=_read(response_body) or b"",
            response_trailers=_read(response_trailers),
            chunks=_read(chunks),
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    document = msgspec.json.encode(told)
    if sys.stdout.isatty():
        screen.console().print(screen.pretty(document), soft_wrap=True)
    else:
        screen.emit(msgspec.json.format(document, indent=2) + b"\n")


def _read(file: Path | None) -> bytes | None:
    from collector.commands.exits import InputError

    if file is None:
        return None
    if str(file) == _STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None
