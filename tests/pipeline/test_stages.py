"""A stage that fails on one exchange fails on that one: a letter's worth of bytes, one count in the ledger, and everything else goes on."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from msgspec import structs

from collector.correlate import Closed
from collector.enrich.catalogue import Catalogue
from collector.messages import kept
from collector.messages.captured import Decoded
from collector.messages.event import EXCHANGE_TYPE, LEDGER_TYPE, Place
from collector.messages.exchange import Exchange, Fault, LedgerWindow, Node
from collector.messages.headers import pack
from collector.messages.redacted import Redacted
from collector.messages.seen import Seen
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from tests.support.outputs import chats
from tests.support.traffic import exchanges_of
from tests.support.witnesses import NODE, T0

SECRET = "sk-0123456789abcdef"
HASHED = f"hmac-sha256:{'a' * 32}"


class Poisoned(ExchangeMeaning):
    """Fails in one stage on the exchanges whose path says so."""

    def __init__(self, stage: str, error: BaseException, path: str = "/poison") -> None:
        """`path`: `*` is every path."""
        super().__init__(Catalogue())
        self._stage, self._error, self._path = stage, error, path

    def _fails(self, stage: str, path: str | None) -> bool:
        return self._stage == stage and self._path in ("*", path)

    def redact(self, seen: Seen) -> Redacted:
        if self._fails("redact", seen.path):
            raise self._error
        return super().redact(seen)

    def decode(self, redacted: Redacted) -> tuple[Redacted, Decoded]:
        if self._fails("decode", redacted.path):
            raise self._error
        return super().decode(redacted)

    def enrich(self, redacted: Redacted) -> dict[str, Any]:
        if self._fails("enrich", redacted.path):
            raise self._error
        return super().enrich(redacted) if self._stage != "describe" or redacted.path != "/poison" else {"logger": 1}


def closed(*poisoned: int, count: int = 6) -> list[Closed]:
    told = chats(count)
    for number in poisoned:
        told[number].path = "/poison"
    return [Closed(Place(number, 0), exchange) for number, exchange in enumerate(exchanges_of(told), 1)]


@pytest.mark.parametrize("error", [ValueError(SECRET), OverflowError(), RecursionError(), MemoryError(), AssertionError()])
@pytest.mark.parametrize("stage", ["redact", "decode", "enrich", "describe"])
def test_one_exchange_is_one_fault_and_all_others_are_as_they_would_be(stage: str, error: Exception) -> None:
    given = closed(2, 4)
    found = Stages(Poisoned(stage, error), True).outputs(given)
    sound = Stages(ExchangeMeaning(Catalogue()), True).outputs(given)
    assert [output.place for output in found] == [one.place for one in given]
    assert [number for number, output in enumerate(found) if output.fault is not None] == [2, 4]
    assert [output for output in found if output.fault is None] == [one for number, one in enumerate(sound) if number not in (2, 4)]
    fault = found[2].fault
    assert fault is not None
    assert (fault.stage, fault.content_type, fault.at_us) == (stage, kept.EXCHANGE_TYPE, given[2].item.closed_at)  # type: ignore[union-attr]
    assert fault.reason.startswith(f"{stage} failed: ")
    assert SECRET not in fault.reason
    assert kept.unpack(fault.content_type, fault.data) == given[2].item


def test_a_fault_is_counted_once_in_the_ledger_under_its_proxy() -> None:
    output = Stages(Poisoned("enrich", KeyError())).outputs(closed(0, count=1))[0]
    (event,) = output.events
    assert event.type == LEDGER_TYPE
    assert event.columns.node == NODE
    assert event.columns.window_us == 0
    assert {name: getattr(event.columns, name) for name in ("announced", "received", "missing", "both")} == dict.fromkeys(
        ("announced", "received", "missing", "both"), 0
    )
    assert orjson.loads(event.data)["malformed"] == {"dead_letter_enrich": 1}


def test_the_same_entries_give_the_same_faults() -> None:
    first, second = (Stages(Poisoned("enrich", KeyError())).outputs(closed(1, 3)) for _ in range(2))
    assert first == second


def test_a_window_that_cannot_be_told_is_a_fault_too() -> None:
    window = LedgerWindow(Node(NODE), T0, 60_000_000, {"\ud800": 1}, {}, {})
    output = Stages(ExchangeMeaning(Catalogue())).output(window, Place(1, 0))
    assert output.fault is not None
    assert output.fault.stage == "describe"
    assert output.fault.content_type == kept.UNREADABLE_TYPE
    assert b"ud800" in output.fault.data


def test_what_the_correlator_could_not_take_keeps_the_entrys_bytes() -> None:
    fault = Fault(Node(NODE), "feed", "feed failed: IndexError", T0, "application/x-protobuf", b"bytes")
    output = Stages(ExchangeMeaning(Catalogue())).outputs([Closed(Place(1, 0), fault)])[0]
    assert output.fault == fault
    assert orjson.loads(output.events[0].data)["malformed"] == {"dead_letter_feed": 1}


def hiding() -> ExchangeMeaning:
    return ExchangeMeaning.of(Settings.model_validate({"redaction": {"patterns": ["sk-[0-9a-f]{16}"]}}), Catalogue())


def test_with_rules_no_letter_holds_what_they_might_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    told = chats(1, request=f'{{"model":"m","messages":[{{"role":"user","content":"{SECRET}"}}]}}'.encode())
    (exchange,) = exchanges_of(told)
    meaning = hiding()
    monkeypatch.setattr(meaning, "enrich", _raise)
    output = Stages(meaning, True).output(exchange, Place(1, 0))
    assert output.fault is not None
    assert SECRET.encode() not in output.fault.data
    left = kept.unpack(output.fault.content_type, output.fault.data)
    assert isinstance(left, Exchange)
    assert left.tap is not None
    assert left.tap.request.truncated
    fault = Fault(Node(NODE), "feed", "feed failed: IndexError", T0, "application/x-protobuf", SECRET.encode())
    assert Stages(meaning).output(fault, Place(1, 0)).fault.data == b""  # type: ignore[union-attr]


TOLD = [
    (":path", f"/a?key={SECRET}&x=1"),
    ("authorization", SECRET),
    ("X-Goog-Api-Key", SECRET),
    ("x-api-key", HASHED),
    ("referer", f"https://h/a?sig={SECRET}"),
    ("mcp-session-id", SECRET),
    ("mcp-param-region", SECRET),
    ("x-note", "stays"),
]
BARE = [
    (":path", "/a?key=[redacted]&x=1"),
    ("authorization", "[redacted]"),
    ("X-Goog-Api-Key", "[redacted]"),
    ("x-api-key", HASHED),
    ("referer", "https://h/a?sig=[redacted]"),
    ("mcp-session-id", "[redacted]"),
    ("mcp-param-region", "[redacted]"),
    ("x-note", "stays"),
]
BLOCKS = ("request_headers", "request_trailers", "response_headers", "response_trailers")
LOGGED = ("request_headers", "response_headers", "response_trailers")


def letter(exchange: Exchange, stage: str) -> Exchange:
    """What the letter holds, also if it is sent again and fails again."""
    for _ in range(2):
        fault = Stages(Poisoned(stage, KeyError(), "*"), True).output(exchange, Place(1, 0)).fault
        assert fault is not None
        assert SECRET.encode() not in fault.data
        left = kept.unpack(fault.content_type, fault.data)
        assert isinstance(left, Exchange)
        exchange = left
    return exchange


@pytest.mark.parametrize("stage", ["redact", "decode", "enrich"])
def test_a_letter_holds_no_secret_of_headers_and_paths_and_all_else(stage: str) -> None:
    (exchange,) = exchanges_of(chats(1))
    tap = structs.replace(exchange.tap, **dict.fromkeys(BLOCKS, pack(TOLD)))  # type: ignore[type-var]
    log = structs.replace(exchange.access_log, path=TOLD[0][1], **{name: dict(TOLD) for name in LOGGED})  # type: ignore[type-var]
    left = letter(structs.replace(exchange, tap=tap, access_log=log), stage)
    assert left.tap == structs.replace(tap, **dict.fromkeys(BLOCKS, pack(BARE)))
    assert left.access_log == structs.replace(log, path=BARE[0][1], **{name: dict(BARE) for name in LOGGED})
    assert left.problems == exchange.problems


def test_a_letter_leaves_out_a_header_block_that_cannot_be_read() -> None:
    (exchange,) = exchanges_of(chats(1))
    left = letter(structs.replace(exchange, tap=structs.replace(exchange.tap, request_headers=SECRET.encode())), "enrich")  # type: ignore[type-var]
    assert left.tap is not None
    assert left.tap.request_headers is None
    assert left.tap.request == exchange.tap.request  # type: ignore[union-attr]
    assert left.problems[-1].startswith("withheld when a stage failed on it: header block of 19 bytes")


def test_a_letter_of_what_cannot_be_freed_of_secrets_has_no_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    (exchange,) = exchanges_of(chats(1))
    monkeypatch.setattr("collector.pipeline.stages.for_a_letter", _raise)
    left = letter(exchange, "enrich")
    assert left == kept.without_contents(kept.without_contents(exchange))


@pytest.mark.parametrize(
    ("rules", "failing"),
    [(False, "decode.stage.decode"), (True, "decode.stage.decode"), (True, "redact.stage.conceal"), (True, "redact.stage.look_again")],
)
def test_a_decoder_that_fails_leaves_the_record_and_the_raw_body_where_nothing_is_hidden(
    rules: bool, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = chats(1, request=f'{{"model":"m","messages":[{{"role":"user","content":"{SECRET}"}}]}}'.encode())
    meaning = hiding() if rules else ExchangeMeaning(Catalogue())
    monkeypatch.setattr(f"collector.{failing}", _raise)
    output = Stages(meaning, True).output(exchanges_of(told)[0], Place(1, 0))
    assert output.fault is None
    own = orjson.loads(next(event.data for event in output.events if event.type == EXCHANGE_TYPE))
    assert "inference" not in own
    assert "the decoder failed" in own["problems"][-1]
    assert (SECRET in repr(output)) is not rules
    if rules:
        assert own["request"]["body"]["redacted"] == own["response"]["body"]["redacted"] == "all"


def test_a_letters_exchange_loses_the_ends_of_its_bodies_and_nothing_else() -> None:
    (exchange,) = exchanges_of(chats(1))
    kind, data = kept.pack(exchange)
    short = kept.unpack(kind, kept.with_shorter_bodies(kind, data, 20))
    assert isinstance(short, Exchange)
    assert short.tap is not None
    assert exchange.tap is not None
    assert short.tap.request.data == exchange.tap.request.data[:10]
    assert short.tap.request.truncated
    assert msgspec.structs.asdict(short.access_log) == msgspec.structs.asdict(exchange.access_log)


def _raise(*_: object, **__: object) -> Any:
    raise ZeroDivisionError(SECRET)
