"""Spoils protobuf messages by reflection: edge numbers in any field, parts multiplied, emptied, swapped, texts that are none."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

U32 = (0, 1, 2, 63, 64, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
I32 = (0, 1, -1, (1 << 31) - 1, -(1 << 31))
U64 = (0, 1, 2, 64, 10_001, 1 << 31, (1 << 32) - 1, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
I64 = (0, 1, -1, 1 << 31, 1 << 53, 253_402_300_800, 253_402_300_800_000_000, (1 << 63) - 1, -(1 << 63), -(1 << 62))
FLOATS = (0.0, -0.0, 1e308, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "a", "\0", "\x1b[31m", "é", "\U0001f600", "'; DROP TABLE exchanges; --", "../..", "[redacted]", "x" * 300, "9" * 26)
BYTES = (b"", b"\0", b"\xff\xfe", b"\x80" * 9, b"x" * 300, b"\xed\xa0\x80", b"9" * 26)
DEPTH = 8
COPIES = (2, 3, 17)

F = FieldDescriptor
_NUMBERS: dict[int, tuple[Any, ...]] = {
    F.CPPTYPE_INT32: I32,
    F.CPPTYPE_UINT32: U32,
    F.CPPTYPE_INT64: I64,
    F.CPPTYPE_UINT64: U64,
    F.CPPTYPE_ENUM: (*I32, 2, 7, 99),
    F.CPPTYPE_FLOAT: FLOATS,
    F.CPPTYPE_DOUBLE: FLOATS,
    F.CPPTYPE_BOOL: (False, True),
}


@lru_cache(None)
def _fields(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    return tuple(descriptor.fields)


def spoil(message: Any, chance: Random, times: int = 1) -> None:
    """Changes so many fields, each found by a random walk from the top. Mostly what is there; sometimes what is not."""
    for _ in range(times):
        _walk(message, chance, DEPTH)


def edge(field: FieldDescriptor, chance: Random) -> Any:
    """A value for this scalar field that somebody may not have thought of."""
    if field.type == F.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == F.TYPE_BYTES:
        return chance.choice(BYTES)
    return chance.choice(_NUMBERS[field.cpp_type])


def _walk(message: Any, chance: Random, depth: int) -> None:
    there = message.ListFields()
    if there and chance.random() < 0.85:
        field = chance.choice(there)[0]
    else:
        fields = _fields(message.DESCRIPTOR)
        if not fields:
            return
        field = chance.choice(fields)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _spoil_map(getattr(message, field.name), field, chance)
    elif field.is_repeated:
        _spoil_repeated(getattr(message, field.name), field, chance, depth)
    elif field.message_type is not None:
        _spoil_inner(message, field, chance, depth)
    else:
        setattr(message, field.name, edge(field, chance))


def _spoil_inner(message: Any, field: FieldDescriptor, chance: Random, depth: int) -> None:
    if chance.random() < 0.05:
        message.ClearField(field.name)
        return
    inner = getattr(message, field.name)
    inner.SetInParent()
    if depth:
        _walk(inner, chance, depth - 1)


def _spoil_repeated(items: Any, field: FieldDescriptor, chance: Random, depth: int) -> None:
    if field.message_type is None:
        _spoil_scalars(items, field, chance)
    elif items and depth and chance.random() < 0.75:
        _walk(chance.choice(items), chance, depth - 1)
    else:
        chance.choice(_MESSAGES)(items, chance)


def _spoil_scalars(items: Any, field: FieldDescriptor, chance: Random) -> None:
    if items and chance.random() < 0.5:
        items[chance.randrange(len(items))] = edge(field, chance)
    elif chance.random() < 0.8:
        items.extend([edge(field, chance)] * chance.choice(COPIES))
    else:
        del items[:]


def _add_empty(items: Any, chance: Random) -> None:
    for _ in range(chance.choice(COPIES)):
        items.add()


def _copy(items: Any, chance: Random) -> None:
    if items:
        items.extend([chance.choice(items)] * chance.choice(COPIES))


def _omit(items: Any, chance: Random) -> None:
    if items:
        del items[chance.randrange(len(items))]


def _swap(items: Any, chance: Random) -> None:
    kept = list(items)
    chance.shuffle(kept)
    copies = [type(one).FromString(one.SerializeToString(deterministic=True)) for one in kept]
    del items[:]
    items.extend(copies)


_MESSAGES: tuple[Callable[[Any, Random], None], ...] = (_add_empty, _copy, _copy, _omit, _swap)


def _spoil_map(entries: Any, field: FieldDescriptor, chance: Random) -> None:
    assert field.message_type is not None
    told = field.message_type.fields_by_name
    key, value = edge(told["key"], chance), told["value"]
    if value.message_type is not None:
        entries[key].SetInParent()
    elif chance.random() < 0.2 and len(entries):
        del entries[chance.choice(sorted(entries))]
    else:
        entries[key] = edge(value, chance)


def damage(payload: bytes, chance: Random) -> bytes:
    """The same bytes with a piece replaced, removed, repeated or put in."""
    at = chance.randrange(len(payload) + 1)
    length = chance.choice((0, 1, 1, 2, 4, 9))
    put = chance.choice((b"", chance.randbytes(1), chance.randbytes(4), b"\xff" * 10, b"\0", payload[at : at + 16] * 2))
    return payload[:at] + put + payload[at + length :]
