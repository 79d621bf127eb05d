"""The protobuf wire format (protobuf.dev/programming-guides/encoding), read without copying what is not wanted.

Used for the few fields of the inference proto that a record holds: a compiled message would copy a megabyte of tensor data to count it.
"""

from collections.abc import Iterator

Value = int | memoryview
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}


class MalformedError(ValueError):
    """The bytes are not a protobuf message, or were cut."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, value) in order; length-delimited values as views, the others as unsigned integers.

    Raises:
        MalformedError: where the message stops making sense; the fields before it have been yielded.
    """
    at, size = 0, len(message)
    while at < size:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, kind, value
            continue
        if kind == BYTES:
            length, at = _varint(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise MalformedError(f"wire type {kind} at byte {at}")
        end = at + length
        if end > size:
            raise MalformedError(f"a field of {length} bytes at byte {at} of {size}")
        part = message[at:end]
        yield tag >> 3, kind, part if kind == BYTES else int.from_bytes(part, "little")
        at = end


def packed_varints(value: memoryview, limit: int) -> list[int]:
    """The first `limit` signed 64-bit numbers of a packed repeated field."""
    numbers: list[int] = []
    at = 0
    while at < len(value) and len(numbers) < limit:
        number, at = _varint(value, at)
        numbers.append(signed(number))
    return numbers


def signed(number: int) -> int:
    """An unsigned varint as int64."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    for byte in message[at : at + 10]:
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise MalformedError(f"a number without an end at byte {at}")
