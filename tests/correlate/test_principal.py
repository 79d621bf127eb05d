"""The caller's principal comes with one part of a stream, and belongs to all of it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as Any_
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from collector.correlate import Correlator, Limits, access_log
from collector.messages.exchange import Exchange
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

CALLER = "spiffe://cluster.local/ns/clients/sa/one"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
@pytest.mark.parametrize("logged", [True, False])
def test_it_is_known_whenever_its_part_comes_and_after_a_restart(order: tuple[int, ...], logged: bool) -> None:
    told, tape, vm = Told(1), Tape(), Vm()
    made = parts(told, pieces=2)
    made[0].principal = CALLER
    for index in order:
        tape.tap(vm.seal([made[index]]))
    if logged:
        tape.log(log_message([told]))
    tape.tick(200)
    correlator = Correlator(Limits())
    closed = []
    for number, entry in enumerate(tape.entries):
        closed += correlator.feed(entry)
        if number == 1:
            state = correlator.state()
            correlator = Correlator(Limits())
            correlator.restore(state)
    [exchange] = [one.item for one in closed if isinstance(one.item, Exchange)]
    assert exchange.tap is not None
    assert exchange.tap.principal == CALLER


def packed(text: Message) -> Any:
    made = Any_()
    made.Pack(text)
    return made


BROKEN = Any_(type_url="type.googleapis.com/google.protobuf.StringValue", value=b"\x0a\x7f")
INNER, OUTER = "io.istio.peer_principal", "spiffe://cluster.local/ns/clients/sa/outer"


@pytest.mark.parametrize(
    ("states", "names", "expected"),
    [
        ({INNER: packed(StringValue(value=CALLER))}, [], CALLER),
        ({INNER: packed(BytesValue(value=CALLER.encode()))}, [], CALLER),
        ({INNER: packed(StringValue(value=OUTER))}, [CALLER], CALLER),
        ({INNER: packed(StringValue(value=OUTER))}, [""], OUTER),
        ({"io.istio.local_principal": packed(StringValue(value=CALLER))}, [], ""),
        ({INNER: packed(StringValue(value="x" * 2049))}, [], ""),
        ({INNER: packed(BytesValue(value=b"spiffe://\xff"))}, [], ""),
        ({INNER: packed(Struct())}, [], ""),
        ({INNER: BROKEN}, [], ""),
        ({INNER: Any_()}, [], ""),
        ({}, ["", CALLER], CALLER),
        ({}, [""] * 100_000 + [CALLER], ""),
    ],
    ids=["text", "bytes", "both", "no URI", "another", "long", "no UTF-8", "another type", "broken", "empty", "second name", "many names"],
)
def test_the_log_tells_it_of_the_connection_or_of_what_istio_hands_on_of_the_one_around_it(
    states: dict[str, Any_], names: list[str], expected: str
) -> None:
    entry = log_message([Told(1)]).http_logs.log_entry[0]
    for key, state in states.items():
        entry.common_properties.filter_state_objects[key].CopyFrom(state)
    for name in names:
        entry.common_properties.tls_properties.peer_certificate_properties.subject_alt_name.add(uri=name)
    problems: list[str] = []
    assert access_log.read(entry, problems).principal == expected
    assert not problems
