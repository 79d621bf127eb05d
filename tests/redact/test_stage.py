"""The stage: nothing gets round it, header secrets and keys end in it, and nothing is decoded more often than it must be."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from collector.decode import Captured, decode
from collector.enrich.catalogue import Catalogue
from collector.messages import tap_pb2
from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from collector.messages.queries import URLS
from collector.messages.redacted import Redacted
from collector.messages.seen import Seen
from collector.pipeline.meaning import ExchangeMeaning
from collector.redact import Consumers, Redactor, Rules
from tests.describe.telling import Told
from tests.support.traffic import exchanges_of, plainly

ROOT = Path(__file__).parents[2]
SECRET = "sk-0123456789abcdef"
RULES = Rules(patterns=["sk-[0-9a-f]{16}"])
HASHED = f"hmac-sha256:{'a' * 32}"
ASKED = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
ROUND = """
from collector.decode import Decoded, decode_redacted
from collector.describe import describe
from collector.describe.record import build
from collector.enrich.catalogue import Catalogue
from collector.messages.event import Place
from collector.messages.exchange import Exchange
from collector.messages.seen import Seen
from collector.pipeline.meaning import ExchangeMeaning
from collector.redact import Redactor

def all_of_it(exchange: Exchange, place: Place) -> None:
    seen = Seen(exchange)
    redacted = Redactor().redact(seen)
    decode_redacted(redacted)
    describe(redacted, place, Decoded(), {}, True)
    decode_redacted(seen)
    describe(seen, place, Decoded(), {}, True)
    build(seen, "", Decoded(), {})
    ExchangeMeaning(Catalogue()).decode(seen)
    ExchangeMeaning(Catalogue()).enrich(seen)
    describe(exchange, place, Decoded(), {}, True)
"""


@pytest.mark.slow
def test_a_type_checker_refuses_what_was_not_redacted(tmp_path: Path) -> None:
    snippet = tmp_path / "round.py"
    snippet.write_text(ROUND.lstrip())
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", snippet], cwd=ROOT, capture_output=True, text=True, check=False
    )
    wrong = [number for number, line in enumerate(ROUND.lstrip().split("\n"), 1) if "(seen" in line and "redact(" not in line]
    wrong += [number for number, line in enumerate(ROUND.lstrip().split("\n"), 1) if "describe(exchange" in line]
    assert [int(line) for line in re.findall(r"round\.py:(\d+): error: .*\[arg-type\]", checked.stdout)] == sorted(wrong)
    assert checked.stdout.count("error:") == len(wrong), checked.stdout


def test_only_the_stage_makes_what_may_be_told() -> None:
    makers = re.compile(r"\bRedacted\(|\breplace\(\s*redacted\b|convert\(.*\bRedacted\b|type=Redacted\b")
    found = {str(path.relative_to(ROOT)) for path in (ROOT / "collector").rglob("*.py") if makers.search(_code(path))}
    assert found == {"collector/redact/stage.py"}


def test_only_the_stage_hides_header_secrets_behind_the_journal() -> None:
    tells_secrets = re.compile(r"messages\.secrets import .*\b(is_secret|look_at)\b")  # the rest of it makes hashes
    users = {path.parent.name for path in (ROOT / "collector").rglob("*.py") if tells_secrets.search(path.read_text())}
    assert users == {"receive", "redact"}  # receive blanks before the journal


def exchange(tap: Tap | None = None, log: AccessLog | None = None) -> Exchange:
    return Exchange(Key("n", b"id", 1), 0, Node("n"), 1, tap, log)


def tapped(headers: list[tuple[str, str]], level: int = tap_pb2.REQUEST_RESPONSE, **more: Any) -> Tap:
    return Tap("vm", 1, level, "", Body(ASKED), Body(), request_headers=pack(headers), **more)


def test_the_access_logs_secrets_are_blank_and_the_taps_own_marks_stay() -> None:
    logged = AccessLog(request_headers={"authorization": SECRET, "x-team": "blue"}, response_trailers={"x-token": SECRET})
    redacted = plainly(exchange(log=logged))
    assert redacted.request_headers == [("authorization", "[redacted]"), ("x-team", "blue")]
    assert redacted.request["authorization"] == "[redacted]"
    assert redacted.response_trailers == [("x-token", "[redacted]")]
    assert SECRET not in repr(redacted)
    assert plainly(exchange(tapped([("authorization", HASHED)]))).request_headers == [("authorization", HASHED)]


LEFT_OUT = ("x-goog-api-key", "apikey", "ocp-apim-subscription-key", "authorization", "Set-Cookie", "x-access-token", "mcp-param-region")


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.parametrize("block", ["request_headers", "request_trailers", "response_headers", "response_trailers"])
def test_a_secret_that_an_older_filter_or_another_list_tells_is_blank_in_every_block(block: str, name: str) -> None:
    tap = structs.replace(tapped([]), **{block: pack([("x-team", "blue"), (name, "[redacted]"), (name, SECRET), (name, HASHED)])})
    redacted = plainly(exchange(tap))
    told = [("x-team", "blue"), (name, "[redacted]"), (name, "[redacted]"), (name, HASHED)]
    assert getattr(redacted, block) == told
    assert SECRET not in repr(redacted)
    if block == "request_headers":
        assert redacted.forwarded_headers == [*told[:3], (name, "[redacted]")]


def test_headers_that_tell_usage_stay() -> None:
    told = [("x-prompt-tokens", "7"), ("x-time-per-token", "1")]
    assert plainly(exchange(tapped([], response_headers=pack(told)))).response_headers == told


@pytest.mark.parametrize("odd", ["a" * 2_000, "a\nb", "x\napi-key", "a\0b", "", "X\xff"], ids=lambda odd: repr(odd)[:9])
def test_odd_names_beside_it_keep_no_secret_from_being_hidden(odd: str) -> None:
    told = [(odd, "1"), ("x-api-key", SECRET), (odd + "-token", SECRET)]
    assert SECRET not in repr(plainly(exchange(tapped(told))))


def test_those_who_read_our_events_in_place_of_kserves_see_not_even_a_hash() -> None:
    redacted = plainly(exchange(tapped([("authorization", HASHED), ("x-user", "ann")])))
    assert redacted.forwarded_headers == [("authorization", "[redacted]"), ("x-user", "ann")]


@pytest.mark.parametrize("witness", ["tap", "access_log"])
def test_a_consumers_key_is_a_hash_from_here_on(witness: str) -> None:
    key = ("x-consumer", SECRET)
    told = exchange(tapped([key])) if witness == "tap" else exchange(log=AccessLog(request_headers=dict([key])))
    seen = Seen(told)
    redacted = Redactor(consumers=Consumers(["x-consumer"], b"k" * 32)).redact(seen)
    assert redacted.consumer is not None
    assert redacted.request == {"x-consumer": "[redacted]"}
    assert SECRET not in repr(redacted)
    assert seen.request == {"x-consumer": SECRET}  # what was seen stays


def test_no_header_block_of_the_witnesses_is_left() -> None:
    logged = AccessLog(request_headers={"x": "y"}, response_headers={"x": "y"}, response_trailers={"x": "y"})
    redacted = plainly(exchange(tapped([("x", "y")], response_headers=pack([]), response_trailers=pack([])), logged))
    tap, log = redacted.exchange.tap, redacted.exchange.access_log
    assert tap is not None
    assert log is not None
    assert [tap.request_headers, tap.request_trailers, tap.response_headers, tap.response_trailers] == [None] * 4
    assert [log.request_headers, log.response_headers, log.response_trailers] == [{}] * 3


@pytest.mark.parametrize("level", [tap_pb2.NONE, tap_pb2.METADATA, 9])
def test_a_body_that_its_level_leaves_out_ends_here(level: int) -> None:
    redacted = plainly(exchange(tapped([], level)))
    assert redacted.exchange.tap is not None
    assert redacted.exchange.tap.request.data == b""
    assert redacted.captured is None or redacted.captured.request_body == b""


@pytest.mark.parametrize("witness", ["tap", "access_log"])
def test_an_error_of_grpc_is_without_what_a_pattern_hides_for_the_decoder_too(witness: str) -> None:
    told = {"grpc-status": "3", "grpc-message": f"no%20{SECRET}, 100%25"}
    tap = tapped([(":method", "POST"), (":path", "/inference.GRPCInferenceService/ModelInfer"), ("content-type", "application/grpc")])
    if witness == "tap":
        tap.response_trailers = pack(list(told.items()))
    redacted = Redactor(RULES).redact(Seen(exchange(tap, AccessLog(response_trailers=told))))
    assert ("grpc-message", "no [redacted], 100%") in redacted.response_trailers
    assert SECRET not in repr(redacted)
    assert redacted.captured is not None
    assert decode(redacted.captured).inference["error"]["message"] == "no [redacted], 100%"
    alone = Redactor(RULES).redact(Seen(exchange(log=AccessLog(response_trailers=told))))
    assert SECRET not in repr(alone)


@pytest.mark.parametrize("witness", ["tap", "access_log"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grpc-message", "bad%20key%20sk%252D0123456789abcdef"),
        ("grpc-status-details-bin", b64encode(b"\x08\x03\x12\x1bbad key " + SECRET.encode()).decode()),
    ],
)
def test_an_error_of_grpc_that_spells_what_a_pattern_hides_is_not_kept(witness: str, name: str, value: str) -> None:
    told = {"grpc-status": "3", name: value}
    tap = tapped([(":method", "POST"), (":path", "/inference.GRPCInferenceService/ModelInfer"), ("content-type", "application/grpc")])
    tap.response_trailers = pack(list(told.items())) if witness == "tap" else None
    redacted = Redactor(RULES).redact(Seen(exchange(tap if witness == "tap" else None, AccessLog(response_trailers=told))))
    assert (name, "[redacted]") in redacted.response_trailers
    assert value not in repr(redacted)


def test_a_body_whose_middle_is_missing_is_withheld_however_that_is_told() -> None:
    tap = tapped([(":method", "POST"), ("content-type", "text/plain")])
    body = Body(b"hello world" + SECRET.encode(), 1000, cut=(11, 970))
    redacted = Redactor(RULES).redact(Seen(exchange(structs.replace(tap, request=body, request_complete=True))))
    assert redacted.extents["request"] == "all"
    assert SECRET not in repr(redacted)


@pytest.mark.parametrize(
    ("rules", "content", "times"),
    [(None, SECRET, 1), (RULES, "nothing", 1), (RULES, SECRET, 2)],
    ids=["no rules", "nothing hidden", "hidden"],
)
def test_nothing_is_decoded_more_often_than_it_must_be(
    rules: Rules | None, content: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Captured] = []

    def counted(captured: Captured, *more: Any, **named: Any) -> Any:
        given.append(captured)
        return decode(captured, *more, **named)

    monkeypatch.setattr("collector.redact.conceal.decode", counted)
    monkeypatch.setattr("collector.decode.stage.decode", counted)
    told = Told(1, path="/v1/chat/completions", request=ASKED.replace(b"hi", content.encode()), response=(b"{}",))
    [closed] = exchanges_of([told])
    meaning = ExchangeMeaning(Catalogue(), redactor=Redactor(rules))
    redacted, _ = meaning.decode(meaning.redact(Seen(closed)))
    assert len(given) == times
    assert isinstance(redacted, Redacted)


def test_redacting_changes_nothing_in_what_was_seen() -> None:
    told = Told(1, path="/v1/chat/completions", request=ASKED.replace(b"hi", SECRET.encode()), response=(b"{}",))
    [closed] = exchanges_of([told])
    seen, before = Seen(closed), structs.asdict(closed)
    meaning = ExchangeMeaning(Catalogue(), redactor=Redactor(RULES, Consumers([":method"], b"k" * 32)))
    values = {name: repr(getattr(seen, name)) for name in Seen.__slots__}
    redacted, _ = meaning.decode(meaning.redact(seen))
    assert redacted.extents["request"] == "part"
    assert {name: repr(getattr(seen, name)) for name in Seen.__slots__} == values
    assert structs.asdict(closed) == before


def _code(path: Path) -> str:
    """Without the class's own definition."""
    return path.read_text().replace("class Redacted(", "class ")


def test_a_query_that_an_older_filter_tells_is_hidden_in_the_record() -> None:
    sent, hidden = f"/v1/m:generateContent?key={SECRET}&alt=sse", "/v1/m:generateContent?key=[redacted]&alt=sse"
    asked = [(":path", sent), *((name, sent) for name in sorted(URLS)), ("x-note", "a?key=1"), ("referer", sent)]
    redacted = plainly(exchange(tapped(asked, response_headers=pack(asked))))
    told = [(":path", hidden), *((name, hidden) for name in sorted(URLS)), ("x-note", "a?key=1"), ("referer", hidden)]
    assert redacted.request_headers == redacted.forwarded_headers == redacted.response_headers == told
    assert redacted.captured is not None
    assert redacted.path == redacted.captured.path == hidden
    assert SECRET not in repr(redacted)


@pytest.mark.parametrize("before", ["https://h/b#access_token=", "/go/https%3A%2F%2Fh%2Fb%3fkey%3d", "/b?next=%2Fc%3Fx%3D1%26id_token%3D"])
@pytest.mark.parametrize("block", ["request_headers", "response_headers"])
@pytest.mark.parametrize("by_log", [False, True])
def test_a_secret_in_a_fragment_or_an_encoded_url_is_hidden_whoever_tells_it(by_log: bool, block: str, before: str) -> None:
    told = {"location": before + SECRET, "x-original-url": "/a"}
    seen = exchange(log=AccessLog(**{block: told})) if by_log else exchange(structs.replace(tapped([]), **{block: pack([*told.items()])}))
    assert getattr(plainly(seen), block) == [("location", f"{before}[redacted]"), ("x-original-url", "/a")]


def test_a_path_that_only_the_access_log_tells_is_hidden_too() -> None:
    redacted = plainly(exchange(log=AccessLog(path=f"/a?token={SECRET}")))
    assert redacted.path == "/a?token=[redacted]"


@pytest.mark.parametrize(
    ("sent", "hidden"),
    [
        (f"file:///ä?token={SECRET}&x=1", "file:///ä?token=[redacted]&x=1"),
        ("file:///ä?x=1", "file:///ä?x=1"),
    ],
)
def test_a_resources_uri_in_base64_is_told_without_its_secrets(sent: str, hidden: str) -> None:
    redacted = plainly(exchange(tapped([("mcp-name", _in_base64(sent))])))
    assert redacted.request_headers == [("mcp-name", _in_base64(hidden))]
    again = plainly(exchange(tapped(redacted.request_headers)))
    assert again.request_headers == redacted.request_headers


@pytest.mark.parametrize("sent", ["=?base64?YT9rZXk9c2VjcmV0IQ?=", "=?BASE64?!?=", "=?base64?/w==?="])
def test_a_name_in_base64_that_cannot_be_read_is_hidden(sent: str) -> None:
    assert plainly(exchange(tapped([("mcp-name", sent)]))).request_headers == [("mcp-name", "[redacted]")]


def _in_base64(text: str) -> str:
    return f"=?base64?{b64encode(text.encode()).decode()}?="


def test_a_redacted_exchange_has_all_that_its_witnesses_told_but_header_blocks() -> None:
    body = Body(b"{}", 2, chunks=[(0, 2, 5)])
    tap = Tap(
        "vm", 3, tap_pb2.REQUEST_RESPONSE, "rule", body, Body(b"[]", 2), pack([(":path", "/p")]), b"", pack([(":status", "200")]), b"",
        7, True, 9, True, True, 4, 200, "10.0.0.9:1", "spiffe://m/ns/a/sa/b",
    )  # fmt: skip
    log = AccessLog("GET", path="/p", request_headers={"a": "b"})
    exchange = Exchange(Key("n", b"r", 1), 2, Node("n"), 6, tap, log, 11, ["odd"], 12, 1, True)
    for one in (tap, exchange):  # each field is told, so that one which is left out shows
        defaults = zip(reversed(one.__struct_fields__), reversed(one.__struct_defaults__), strict=False)
        assert all(getattr(one, name) != default for name, default in defaults)
    bare = Redactor().redact(Seen(exchange)).exchange
    blocks = dict.fromkeys(("request_headers", "request_trailers", "response_headers", "response_trailers"))
    told = structs.replace(log, request_headers={})
    assert bare == structs.replace(exchange, tap=structs.replace(tap, **blocks), access_log=told)
