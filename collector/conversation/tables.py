"""KServe's bodies as tables: tensors of V2, rows of V1, with the first of their values. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from collector.conversation.document import Values
from collector.conversation.room import Room, short
from collector.decode.limits import DEFAULT
from collector.decode.tensors import is_shape
from collector.decode.values import Object, items, mapping, objects

SHOWN = 64  # values of a tensor, rows of a V1 body
TABLES = 256
VALUE = 4096  # characters of one value


def tensors(told: object, known: object, room: Room) -> list[Values]:
    """`told`: the tensors in a V2 body; `known`: those that the record tells, where the body has none that can be read."""
    found = [_tensor(each, each.get("data"), room) for each in objects(told)[:TABLES]]
    if found:
        return found
    bare = [_tensor(each, None, room) for each in objects(known)[:TABLES]]
    if bare:
        room.problem("values of tensors that are not JSON are not shown")
    return bare


def rows(body: object, names: Sequence[str], room: Room) -> list[Values]:
    """The rows or columns of a V1 body: the first of these members that it has."""
    told = mapping(body)
    for name in names:
        value = told.get(name)
        if isinstance(value, list):
            return [_filled({"name": name}, value, room)]
        if isinstance(value, dict):  # columns
            return [_filled({"name": short(key) or name}, items(value[key]) or [value[key]], room) for key in list(value)[:TABLES]]
        if value is not None:
            return [_filled({"name": name}, [value], room)]
    return []


def _tensor(told: Object, data: object, room: Room) -> Values:
    table: Values = {}
    if (name := short(told.get("name"))) is not None:
        table["name"] = name
    if (datatype := short(told.get("datatype"))) is not None:
        table["datatype"] = datatype
    if is_shape(shape := told.get("shape"), DEFAULT):
        table["shape"] = shape
    if isinstance(mapping(told.get("parameters")).get("binary_data_size"), int):
        room.problem("values of tensors that are not JSON are not shown")
    return _filled(table, data, room) if isinstance(data, list) else table


def _filled(table: Values, data: list[object], room: Room) -> Values:
    values, more = [], 0
    flat = _flat(data)
    for value in flat[:SHOWN]:
        text, cut = room.json(value, VALUE)
        values.append(f"{text} …" if cut else text)
    more = len(flat) - len(values)
    table["values"] = values
    if more > 0:
        table["left_out"] = more
    return table


def _flat(data: list[object]) -> list[object]:
    """The elements of a nested array, as far down as each level holds one array alone: its rows."""
    for _ in range(DEFAULT.dimensions):
        if len(data) != 1 or not isinstance(data[0], list):
            return data
        data = data[0]
    return data
