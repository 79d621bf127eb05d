"""Names, types, shapes and sizes of tensors (Open Inference Protocol), never their data."""

from math import prod
from typing import Literal, TypeGuard

from collector.decode.limits import Limits
from collector.decode.reading import Reading
from collector.decode.values import name
from collector.messages.inference import RecordedTensor

SIZES = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2,
    "UINT32": 4, "INT32": 4, "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8,
}  # fmt: skip

_DIMENSION = 1 << 63  # the protocol's shapes are int64


def describe(given_name: object, datatype: object, shape: object, limits: Limits) -> RecordedTensor:
    """The record's form of a tensor: name, datatype, shape as far as known."""
    tensor: RecordedTensor = {}
    if (called := name(given_name)) is not None:
        tensor["name"] = called
    if (kind := name(datatype)) is not None:
        tensor["datatype"] = kind
    if is_shape(shape, limits):
        tensor["shape"] = shape
    return tensor


def is_shape(shape: object, limits: Limits) -> TypeGuard[list[int]]:
    """A list of whole numbers of 64 bits, and not too many."""
    return (
        isinstance(shape, list)
        and len(shape) <= limits.dimensions
        and all(type(size) is int and -_DIMENSION <= size < _DIMENSION for size in shape)
    )


def size(tensor: RecordedTensor) -> int | None:
    """Bytes of the tensor's data; None where its elements have no fixed size (BYTES) or it is not fully described."""
    width = SIZES.get(tensor.get("datatype", ""))
    shape = tensor.get("shape")
    if width is None or shape is None or any(dimension < 0 for dimension in shape):
        return None
    return int(prod(shape)) * width


class Count:
    """RecordedTensors, bytes and rows of one direction, over all messages. A sum with an unknown part is unknown."""

    __slots__ = ("bytes", "rows", "tensors")

    def __init__(self) -> None:
        self.tensors: int | None = None
        self.bytes: int | None = 0
        self.rows: int | None = 0

    def add(self, tensors: list[RecordedTensor], sizes: list[int | None]) -> None:
        """The tensors of one message. Its rows are the first tensor's first dimension (1 for a scalar)."""
        self.tensors = (self.tensors or 0) + len(tensors)
        known = [each for each in sizes if each is not None]
        self.bytes = None if self.bytes is None or len(known) < len(tensors) else self.bytes + sum(known)
        if tensors:
            shape = tensors[0].get("shape")
            self.rows = None if self.rows is None or shape is None else self.rows + (shape[0] if shape else 1)

    def put(self, reading: Reading, side: Literal["input", "output"], whole: bool) -> None:
        """Into the usage as `input_…` or `output_…`; the request's rows are the exchange's `rows`. `whole`: no tensor is missing."""
        body = reading.request if side == "input" else reading.response
        if self.tensors is None or not whole or body.partly_read:
            return
        if side == "input":
            reading.count_known("input_tensors", self.tensors)
            reading.count_known("input_bytes", self.bytes)
            reading.count_known("rows", self.rows)
        else:
            reading.usage.note("output_tensors", self.tensors)
            reading.usage.note("output_bytes", self.bytes)
