"""Texts that are not UTF-8 join all the same, and take nothing else with them."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from collector.correlate import Correlator, Limits
from collector.messages import access_log
from collector.messages.completeness import Completeness as C
from collector.messages.exchange import Exchange
from tests.support.witnesses import Tape, Told, Vm, log_message, parts

RAW = b"c\xe9-\xff\xfe\xc3\xa9"
MENDED = "c!-!!é".encode()


def hostile_log() -> bytes:
    message = log_message([Told(1, request_id="HOSTILE"), Told(2, start_us=7)])
    message.http_logs.log_entry[0].request.request_headers["x-request-id"] = "HOSTILE"
    message.http_logs.log_entry[0].common_properties.custom_tags["a"] = "HOSTILE"
    return message.SerializeToString().replace(b"HOSTILE", RAW)


def test_a_hostile_request_id_joins_and_its_neighbours_entry_is_kept() -> None:
    tape = Tape()
    [hostile] = parts(Told(1))
    hostile.request_id = RAW
    tape.tap(Vm().seal([hostile, *parts(Told(2, start_us=7))]))
    tape.log(log_message([]))
    tape.entries[-1] = tape.entries[-1]._replace(payload=hostile_log())
    correlator = Correlator(Limits())
    found = [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]
    assert [e.completeness for e in found] == [C.COMPLETE, C.COMPLETE]
    assert found[0].key.request_id == MENDED


def test_the_mended_message_is_the_same_but_for_the_texts() -> None:
    mended = access_log.parse(hostile_log())
    entry = mended.http_logs.log_entry[0]
    assert entry.request.request_id == MENDED.decode()
    assert entry.request.request_headers["x-request-id"] == MENDED.decode()
    assert mended.http_logs.log_entry[1] == log_message([Told(2, start_us=7)]).http_logs.log_entry[0]
    assert mended.identifier == log_message([]).identifier


def test_what_is_no_message_at_all_is_refused() -> None:
    with pytest.raises(DecodeError):
        access_log.parse(b"\xff\xff\xff")


def test_a_long_request_id_is_cut_alike_on_both_sides() -> None:
    tape, told = Tape(), Told(1, request_id="x" * 4000)
    [part] = parts(told)
    part.request_id = part.request_id[:1024]
    tape.tap(Vm().seal([part]))
    tape.log(log_message([told]))
    correlator = Correlator(Limits())
    [exchange] = [c.item for e in tape.entries for c in correlator.feed(e) if isinstance(c.item, Exchange)]
    assert exchange.completeness == C.COMPLETE
