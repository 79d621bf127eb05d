"""What was told before the bodies were let go is added up with what came since, and never falls."""

from __future__ import annotations

from typing import Any

from collector.correlate.before import ToldBefore
from collector.decode import Decoded, decode
from collector.describe.told_before import pack, told_by, unpack, with_told_before
from collector.messages.completeness import Completeness as C
from collector.messages.exchange import Body, Exchange, Key, Node, Tap
from tests.decode.corpus import CORPUS
from tests.decode.socket_calls import SOCKETS


def test_where_less_of_it_can_be_read_now_what_was_told_holds() -> None:
    before, exchange = ToldBefore(), Exchange(Key("n", b"r", 1), 1, Node("n"), int(C.UNFINISHED), Tap("v", 1, 4, "", Body(), Body()), None)
    usage: Any = {"total_tokens": {"value": 9, "provenance": "reported"}}
    told: Any = {"protocol": "openai-responses", "answer_count": 3}
    with_told_before(before, exchange, "x", Decoded(told, usage))
    exchange.lost = 1
    for value, due_ in ((5, 14), (2, 14), (7, 16)):
        since: Any = {"total_tokens": {"value": value, "provenance": "reported"}}
        found = with_told_before(before, exchange, "x", Decoded(told, since))
        assert found.usage == {"total_tokens": {"value": due_, "provenance": "reported"}}
        assert found.inference["answer_count"] == 6


def test_what_is_remembered_is_what_was_told_to_the_last_number() -> None:
    for name, captured in {**CORPUS, **SOCKETS}.items():
        told = told_by(decode(captured))
        again = unpack(pack(told))
        assert repr(again) == repr(told), name


def test_sums_stay_within_what_a_record_can_hold() -> None:
    before, exchange = ToldBefore(), Exchange(Key("n", b"r", 1), 1, Node("n"), int(C.UNFINISHED), Tap("v", 1, 4, "", Body(), Body()), None)
    told: Any = {"protocol": "openai-responses", "answer_count": 1}
    usage: Any = {"completion_tokens": {"value": 2**63 - 1, "provenance": "reported"}}
    for lost in range(4):
        exchange.lost = lost
        found = with_told_before(before, exchange, "x", Decoded(told, usage, classes={"output": 2**63 - 1}))
        assert (found.usage, found.classes) == (usage, {"output": 2**63 - 1})
