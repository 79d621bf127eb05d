"""Parses access log messages (envoy.service.accesslog.v3.StreamAccessLogsMessage), also those with texts that are not UTF-8.

Envoy logs some texts as the client sent them; a strict parser then refuses the whole message, and one hostile client would remove
everyone's entries that share it. Where Envoy does mend a text, it puts a `!` for each byte that is not UTF-8
(MessageUtil::sanitizeUtf8String); so do we, in the tap's keys as well (`request_id`), and both sides join.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
    from google.protobuf.message import Message

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of each byte that is not UTF-8
_Field = descriptor_pb2.FieldDescriptorProto
REQUEST_ID_BYTES = 1024  # the tap filter cuts a longer one, so both sides of the key must


def parse(payload: bytes) -> StreamAccessLogsMessage:
    """The message. Raises google.protobuf.message.DecodeError."""
    message = StreamAccessLogsMessage()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        lenient = _lenient()()
        lenient.ParseFromString(payload)
        _mend(lenient, StreamAccessLogsMessage.DESCRIPTOR)
        message.ParseFromString(lenient.SerializeToString())
    return message


def count_entries(message: StreamAccessLogsMessage) -> int:
    """HTTP and TCP log entries in the message."""
    return len(message.http_logs.log_entry) + len(message.tcp_logs.log_entry)


def request_id(raw: bytes) -> bytes:
    """A request id as both witnesses spell it: cut, and UTF-8 whatever the client sent."""
    cut = raw[:REQUEST_ID_BYTES]
    return cut if cut.isascii() else _utf8(cut)


def _utf8(raw: bytes) -> bytes:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return _NOT_UTF8.sub("!", raw.decode("utf-8", "surrogateescape")).encode()
    return raw


@lru_cache(1)
def _lenient() -> type[Message]:
    """The same message with bytes for texts (a map's keys excepted), from a descriptor pool of its own."""
    pool = descriptor_pool.DescriptorPool()
    done: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in done:
            return
        done.add(file.name)
        for needed in file.dependencies:
            add(needed)
        told = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(told)
        if file.name != "google/protobuf/descriptor.proto":
            for message in told.message_type:
                _loosen(message)
        pool.AddSerializedFile(told.SerializeToString())

    add(StreamAccessLogsMessage.DESCRIPTOR.file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(StreamAccessLogsMessage.DESCRIPTOR.full_name))


def _loosen(message: descriptor_pb2.DescriptorProto) -> None:
    for nested in message.nested_type:
        _loosen(nested)
    for field in message.field:
        if field.type == _Field.TYPE_STRING and not (message.options.map_entry and field.number == 1):
            field.type = _Field.TYPE_BYTES


def _mend(lenient: Message, strict: Descriptor) -> None:
    """Makes UTF-8 of every text in the lenient message; fields that are bytes by their own right stay."""
    for field, value in lenient.ListFields():
        told = strict.fields_by_number[field.number]
        if told.message_type is not None and told.message_type.GetOptions().map_entry:
            _mend_map(value, told.message_type.fields_by_name["value"])
        elif told.message_type is not None:
            for one in value if field.is_repeated else (value,):
                _mend(one, told.message_type)
        elif told.type == told.TYPE_STRING:
            if field.is_repeated:
                value[:] = [_utf8(one) for one in value]
            else:
                setattr(lenient, field.name, _utf8(value))


def _mend_map(entries: Any, told: FieldDescriptor) -> None:
    for key in list(entries):
        if told.message_type is not None:
            _mend(entries[key], told.message_type)
        elif told.type == told.TYPE_STRING:
            entries[key] = _utf8(entries[key])
