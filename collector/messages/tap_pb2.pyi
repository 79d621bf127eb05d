from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DropReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DROP_REASON_UNSPECIFIED: _ClassVar[DropReason]
    QUEUE_FULL: _ClassVar[DropReason]
    BODY_BUDGET: _ClassVar[DropReason]
    EXPIRED: _ClassVar[DropReason]
    REJECTED: _ClassVar[DropReason]
    SHUTDOWN: _ClassVar[DropReason]

class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEVEL_UNSPECIFIED: _ClassVar[Level]
    NONE: _ClassVar[Level]
    METADATA: _ClassVar[Level]
    REQUEST: _ClassVar[Level]
    REQUEST_RESPONSE: _ClassVar[Level]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REQUEST_BODY: _ClassVar[Direction]
    RESPONSE_BODY: _ClassVar[Direction]
DROP_REASON_UNSPECIFIED: DropReason
QUEUE_FULL: DropReason
BODY_BUDGET: DropReason
EXPIRED: DropReason
REJECTED: DropReason
SHUTDOWN: DropReason
LEVEL_UNSPECIFIED: Level
NONE: Level
METADATA: Level
REQUEST: Level
REQUEST_RESPONSE: Level
REQUEST_BODY: Direction
RESPONSE_BODY: Direction

class Batch(_message.Message):
    __slots__ = ("node", "vm", "sequence", "totals", "parts")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    node: Node
    vm: str
    sequence: int
    totals: Totals
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ..., vm: _Optional[str] = ..., sequence: _Optional[int] = ..., totals: _Optional[_Union[Totals, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "cluster", "namespace", "workload", "labels", "mesh_cluster", "name", "service_account")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MESH_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster: str
    namespace: str
    workload: str
    labels: _containers.ScalarMap[str, str]
    mesh_cluster: str
    name: str
    service_account: str
    def __init__(self, id: _Optional[str] = ..., cluster: _Optional[str] = ..., namespace: _Optional[str] = ..., workload: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., mesh_cluster: _Optional[str] = ..., name: _Optional[str] = ..., service_account: _Optional[str] = ...) -> None: ...

class Totals(_message.Message):
    __slots__ = ("streams", "ends", "ends_sealed", "drops", "abandoned", "batches_abandoned")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_SEALED_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_FIELD_NUMBER: _ClassVar[int]
    BATCHES_ABANDONED_FIELD_NUMBER: _ClassVar[int]
    streams: int
    ends: int
    ends_sealed: int
    drops: _containers.RepeatedCompositeFieldContainer[Drop]
    abandoned: _containers.RepeatedCompositeFieldContainer[Drop]
    batches_abandoned: int
    def __init__(self, streams: _Optional[int] = ..., ends: _Optional[int] = ..., ends_sealed: _Optional[int] = ..., drops: _Optional[_Iterable[_Union[Drop, _Mapping]]] = ..., abandoned: _Optional[_Iterable[_Union[Drop, _Mapping]]] = ..., batches_abandoned: _Optional[int] = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ("reason", "ends", "fragments", "bytes")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    FRAGMENTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    reason: DropReason
    ends: int
    fragments: int
    bytes: int
    def __init__(self, reason: _Optional[_Union[DropReason, str]] = ..., ends: _Optional[int] = ..., fragments: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("stream", "request_id", "start_us", "downstream", "index", "level", "rule", "request_headers", "request_trailers", "response_headers", "response_trailers", "runs", "end", "principal", "request_tail", "response_tail")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    DOWNSTREAM_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_HEADERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TRAILERS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TRAILERS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TAIL_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TAIL_FIELD_NUMBER: _ClassVar[int]
    stream: int
    request_id: bytes
    start_us: int
    downstream: str
    index: int
    level: Level
    rule: str
    request_headers: Headers
    request_trailers: Headers
    response_headers: Headers
    response_trailers: Headers
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    end: End
    principal: str
    request_tail: Tail
    response_tail: Tail
    def __init__(self, stream: _Optional[int] = ..., request_id: _Optional[bytes] = ..., start_us: _Optional[int] = ..., downstream: _Optional[str] = ..., index: _Optional[int] = ..., level: _Optional[_Union[Level, str]] = ..., rule: _Optional[str] = ..., request_headers: _Optional[_Union[Headers, _Mapping]] = ..., request_trailers: _Optional[_Union[Headers, _Mapping]] = ..., response_headers: _Optional[_Union[Headers, _Mapping]] = ..., response_trailers: _Optional[_Union[Headers, _Mapping]] = ..., runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., principal: _Optional[str] = ..., request_tail: _Optional[_Union[Tail, _Mapping]] = ..., response_tail: _Optional[_Union[Tail, _Mapping]] = ...) -> None: ...

class Headers(_message.Message):
    __slots__ = ("map", "at_us")
    MAP_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    map: bytes
    at_us: int
    def __init__(self, map: _Optional[bytes] = ..., at_us: _Optional[int] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("direction", "offset", "data", "lengths", "times_us")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    TIMES_US_FIELD_NUMBER: _ClassVar[int]
    direction: Direction
    offset: int
    data: bytes
    lengths: _containers.RepeatedScalarFieldContainer[int]
    times_us: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, direction: _Optional[_Union[Direction, str]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., lengths: _Optional[_Iterable[int]] = ..., times_us: _Optional[_Iterable[int]] = ...) -> None: ...

class Tail(_message.Message):
    __slots__ = ("offset", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("at_us", "request_size", "response_size", "request_complete", "response_complete", "response_flags", "response_code", "headers_dropped")
    AT_US_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SIZE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SIZE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FLAGS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_CODE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_DROPPED_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    request_size: int
    response_size: int
    request_complete: bool
    response_complete: bool
    response_flags: int
    response_code: int
    headers_dropped: int
    def __init__(self, at_us: _Optional[int] = ..., request_size: _Optional[int] = ..., response_size: _Optional[int] = ..., request_complete: _Optional[bool] = ..., response_complete: _Optional[bool] = ..., response_flags: _Optional[int] = ..., response_code: _Optional[int] = ..., headers_dropped: _Optional[int] = ...) -> None: ...
