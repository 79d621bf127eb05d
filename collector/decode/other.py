"""Calls of which nothing is read but their errors: health, model lists, and whatever no protocol claims."""

from collector.decode import failures, grpc
from collector.decode.reading import Reading


def read(reading: Reading) -> None:
    """Fills in the error, if one is told."""
    captured = reading.captured
    if reading.response.content_type.startswith("application/grpc"):
        if error := grpc.failure(captured.response_trailers, captured.response_headers):
            reading.inference["error"] = error
    elif captured.status is not None and captured.status >= 400:
        failures.read(reading)
