"""`meshscribe decode` without its command line: from the bytes of the files that it was given to the JSON object that it prints."""

from collector.decode.decoder import decode
from collector.decode.json_text import NotJSONError, loads
from collector.messages.captured import Captured
from collector.messages.record import DecodedParts


def decode_files(
    *,
    method: str,
    path: str,
    status: int | None = None,
    request_headers: bytes | None = None,
    request_body: bytes = b"",
    response_headers: bytes | None = None,
    response_body: bytes = b"",
    response_trailers: bytes | None = None,
    chunks: bytes | None = None,
) -> DecodedParts:
    """`inference`, `usage` and `timing`; `usage_absent` and `problems` if there are any.

    Headers are JSON `[[name, value], …]`, chunks `[[offset, length, seconds since the request's start], …]`. Bodies are taken as whole.

    Raises:
        ValueError: a file is not of that form; the message names it, and the entry.
    """
    decoded = decode(
        Captured(
            method=method.upper(),
            path=path,
            status=status,
            request_headers=_headers("request headers", request_headers),
            request_body=request_body,
            request_whole=True,
            response_headers=_headers("response headers", response_headers),
            response_trailers=_headers("response trailers", response_trailers),
            response_body=response_body,
            response_whole=True,
            chunks=_chunks(chunks),
        )
    )
    told: DecodedParts = {"inference": decoded.inference, "usage": decoded.usage, "timing": decoded.timing}
    if decoded.untold:
        told["usage_absent"] = decoded.untold
    if decoded.problems:
        told["problems"] = decoded.problems
    return told


def _list(what: str, text: bytes | None) -> list[object]:
    if text is None:
        return []
    try:
        value = loads(text)
    except NotJSONError as error:
        raise ValueError(f"{what}: not JSON: {error}") from None
    if not isinstance(value, list):
        raise ValueError(f"{what}: expected a JSON array, not {type(value).__name__}")
    return value


def _headers(what: str, text: bytes | None) -> list[tuple[str, str]]:
    headers = []
    for number, pair in enumerate(_list(what, text)):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise ValueError(f"{what}: entry {number} is not [name, value] with two strings")
        headers.append((pair[0].lower(), pair[1]))
    return headers


def _chunks(text: bytes | None) -> list[tuple[int, int, float]]:
    chunks = []
    for number, chunk in enumerate(_list("chunks", text)):
        if not (isinstance(chunk, list) and len(chunk) == 3 and _counts(chunk[:2]) and _seconds(chunk[2])):
            raise ValueError(f"chunks: entry {number} is not [offset, length, seconds] with numbers of 0 or more")
        chunks.append((chunk[0], chunk[1], float(chunk[2])))
    return chunks


def _counts(values: list[object]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
