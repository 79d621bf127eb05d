"""Who is behind a call: whose word counts, what is a hash, and that a name that is hashed is nowhere else."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from collector.messages.people import LONGEST, Named
from collector.messages.redacted import Redacted
from collector.messages.seen import Seen
from collector.messages.tap_pb2 import REQUEST_RESPONSE
from collector.redact import Persons, Redactor, Source

KEY = b"0123456789abcdef0123456789abcdef"
NAME = "zoe-4711"
GATEWAY, OTHER = "spiffe://cluster.local/ns/edge/sa/gateway", "spiffe://cluster.local/ns/shop/sa/web"
Pairs = list[tuple[str, str]]


def hashed(name: str | bytes) -> str:
    raw = name.encode() if isinstance(name, str) else name
    return hmac.new(KEY, raw, hashlib.sha256).hexdigest()[:32]


def payload(**claims: object) -> str:
    """As Envoy writes it: base64url without padding."""
    return urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()


def redacted(
    persons: Persons,
    asked: Pairs = (),
    logged: dict[str, str] | None = None,
    principal: str = "",
    **tap: Any,  # type: ignore[assignment]
) -> Redacted:
    told = Tap("vm", 1, REQUEST_RESPONSE, "", Body(b"{}"), Body(), request_headers=pack(asked), principal=principal, **tap)
    log = AccessLog(request_headers=logged) if logged is not None else None
    return Redactor(persons=persons).redact(Seen(Exchange(Key("n", b"id", 1), 0, Node("n"), 1, told, log)))


def persons(*sources: Source, clear: tuple[str, ...] = (), key: bytes | None = KEY) -> Persons:
    return Persons(sources, key, clear)  # type: ignore[arg-type]


USER = Source("user", "x-user-id")


@pytest.mark.parametrize("by", ["verified", "gateway", "client"])
def test_a_name_is_told_as_a_hash_with_whose_word_it_is(by: Any) -> None:
    found = redacted(persons(USER._replace(by=by)), [("x-user-id", NAME), ("x-team", "blue")])
    assert found.people == {"user": Named(hashed(NAME), by)}
    assert found.request_headers == [("x-user-id", "[redacted]"), ("x-team", "blue")]
    assert NAME not in repr(found)


def test_a_name_in_clear_stays_where_it_is() -> None:
    found = redacted(persons(USER, clear=("user",)), [("x-user-id", f" {NAME}\t")])
    assert found.people == {"user": Named(NAME, "client")}
    assert found.request_headers == [("x-user-id", f" {NAME}\t")]


def test_where_one_header_names_two_and_one_of_them_is_hidden_the_header_is() -> None:
    found = redacted(persons(USER, Source("agent", "x-user-id"), clear=("agent",)), [("x-user-id", NAME)])
    assert found.people == {"user": Named(hashed(NAME), "client"), "agent": Named(NAME, "client")}
    assert found.request == {"x-user-id": "[redacted]"}


def test_the_first_that_names_somebody_counts() -> None:
    of = persons(Source("user", "x-a", by="verified"), Source("user", "x-b", by="gateway"))
    assert redacted(of, [("x-b", "b"), ("x-a", "a")]).people == {"user": Named(hashed("a"), "verified")}
    assert redacted(of, [("x-b", "b"), ("x-a", " ")]).people == {"user": Named(hashed("b"), "gateway")}
    assert redacted(of, [("x-b", "b"), ("x-a", "[redacted]")]).people == {"user": Named(hashed("b"), "gateway")}
    assert redacted(of, []).people == {}


@pytest.mark.parametrize(
    ("principal", "by"),
    [
        (GATEWAY, "gateway"),
        ("spiffe://cluster.local/ns/front/sa/a", "gateway"),
        (OTHER, "client"),
        ("", "client"),
        (GATEWAY + "x", "client"),
    ],
)
def test_whose_word_it_is_depends_on_who_sent_it(principal: str, by: str) -> None:
    of = persons(USER._replace(by="gateway", callers=(GATEWAY, "spiffe://cluster.local/ns/front/*")))
    assert redacted(of, [("x-user-id", NAME)], principal=principal).people == {"user": Named(hashed(NAME), by)}


def test_the_word_of_one_who_is_not_trusted_counts_only_where_there_is_no_better_one() -> None:
    of = persons(Source("user", "x-a", by="gateway", callers=(GATEWAY,)), Source("user", "x-b", by="verified"))
    assert redacted(of, [("x-a", "a"), ("x-b", "b")], principal=OTHER).people == {"user": Named(hashed("b"), "verified")}
    assert redacted(of, [("x-a", "a")], principal=OTHER).people == {"user": Named(hashed("a"), "client")}


def test_of_several_values_nobody_is_told_and_a_problem_says_it_without_them() -> None:
    found = redacted(persons(USER), [("x-user-id", NAME), ("x-user-id", "mallory")])
    assert found.people == {}
    assert found.problems == ["caller.user: the header x-user-id came with several values, so that it names nobody"]
    assert redacted(persons(USER), [("x-user-id", NAME), ("x-user-id", NAME)]).people == {"user": Named(hashed(NAME), "client")}


@pytest.mark.parametrize("asked", [[], [("x-user-id", "[redacted]")]])
def test_the_access_log_names_where_the_tap_does_not(asked: Pairs) -> None:
    found = redacted(persons(USER), asked, logged={"x-user-id": "zoë"})
    assert found.people == {"user": Named(hashed("zoë"), "client")}


def test_a_name_is_the_same_whoever_tells_it() -> None:
    name = "zoë àü"
    header = name.encode().decode("latin-1")  # as the tap tells bytes
    of = persons(USER, Source("agent", "x-p", claims=("sub",)), Source("session", "baggage", key="s"))
    found = redacted(of, [("x-user-id", header), ("x-p", payload(sub=name)), ("baggage", "s=zo%C3%AB%20%C3%A0%C3%BC")])
    assert {named.value for named in found.people.values()} == {hashed(name)}
    assert redacted(persons(USER, clear=("user",)), [("x-user-id", header)]).people["user"].value == name


def test_the_filters_own_hash_needs_no_key_and_no_hash_is_hashed_again() -> None:
    by_filter = f"hmac-sha256:{hashed(NAME)}"
    for of in (persons(USER), persons(USER, key=None), persons(USER, clear=("user",))):
        found = redacted(of, [("x-user-id", by_filter)])
        assert found.people == {"user": Named(hashed(NAME), "client")}
        assert found.request == {"x-user-id": by_filter}
    assert redacted(persons(USER, key=None), [("x-user-id", NAME)]).people == {}
    assert NAME not in repr(redacted(persons(USER, key=None), [("x-user-id", NAME)]))


@pytest.mark.parametrize(
    ("claims", "told", "name"),
    [
        (("sub",), {"sub": NAME}, NAME),
        (("iss", "sub"), {"iss": "https://id", "sub": NAME}, f"https://id/{NAME}"),
        (("sub",), {"sub": 4711}, "4711"),
        (("a.b",), {"a": {"b": NAME}}, NAME),
        (("https://id/email",), {"https://id/email": NAME}, NAME),
        (("a.b",), {"a.b": NAME, "a": {"b": "other"}}, NAME),
    ],
)
@pytest.mark.parametrize("encode", [urlsafe_b64encode, b64encode])
def test_claims_are_read_from_the_payload_that_the_mesh_wrote(claims: tuple[str, ...], told: Any, name: str, encode: Any) -> None:
    for value in (encode(orjson.dumps(told)).decode(), encode(orjson.dumps(told)).decode().rstrip("=")):
        found = redacted(persons(Source("user", "x-payload", claims=claims, by="verified")), [("x-payload", value)])
        assert found.people == {"user": Named(hashed(name), "verified")}
        assert found.request == {"x-payload": "[redacted]"}


@pytest.mark.parametrize("clear", [(), ("user",)])
@pytest.mark.parametrize(
    "value",
    [
        "e30", "!", "", payload(sub=None), payload(sub=True), payload(sub=""), payload(sub=["a"]), payload(other="a"), "W10", "eyJ",
        f"eyJhbGciOiJub25lIn0.{payload(sub=NAME)}.", payload(sub="x" * 20_000), b64encode(b'{"sub":' + b"9" * 5000 + b"}").decode(),
        b64encode(b"[" * 9000).decode(), b64encode(b'{"a":' * 2000).decode(), "=?=",
    ],
)  # fmt: skip
def test_what_is_no_payload_names_nobody_and_is_not_quoted(value: str, clear: tuple[str, ...]) -> None:
    found = redacted(persons(Source("user", "x-payload", claims=("sub",)), clear=clear), [("x-payload", value)])
    assert found.people == {}
    assert found.request == {"x-payload": "[redacted]"}
    assert len(found.problems) == bool(value)
    assert not value or value not in found.problems[0]


def test_a_payload_is_hidden_also_where_its_name_is_told_in_clear() -> None:
    found = redacted(persons(Source("user", "x-payload", claims=("sub",)), clear=("user",)), [("x-payload", payload(sub=NAME, ssn="1"))])
    assert found.people["user"].value == NAME
    assert found.request == {"x-payload": "[redacted]"}


@pytest.mark.parametrize(
    ("baggage", "left"),
    [
        (f"a=1,user.id={NAME},b=2", "a=1,user.id=[redacted],b=2"),
        (f" user.id = {NAME} ;p=1;q", " user.id =[redacted]"),
        (f"user.id2=x, user.id={NAME}", "user.id2=x, user.id=[redacted]"),
    ],
)
def test_of_the_baggage_only_the_name_is_hidden(baggage: str, left: str) -> None:
    found = redacted(persons(Source("user", "baggage", key="user.id")), [("baggage", baggage)])
    assert found.people == {"user": Named(hashed(NAME), "client")}
    assert found.request_headers == [("baggage", left)]


@pytest.mark.parametrize("baggage", ["user.id", "user.id=", "user.id=;p", "=a", "", ",,,", "user.id=a,user.id=b"])
def test_baggage_that_names_nobody_or_two(baggage: str) -> None:
    assert redacted(persons(Source("user", "baggage", key="user.id")), [("baggage", baggage)]).people == {}


def test_what_is_too_long_names_nobody() -> None:
    found = redacted(persons(USER, clear=("user",)), [("x-user-id", "x" * (LONGEST + 1))])
    assert found.people == {}
    assert len(found.problems) == 1
    assert redacted(persons(USER, clear=("user",)), [("x-user-id", "x" * LONGEST)]).people == {"user": Named("x" * LONGEST, "client")}


@pytest.mark.parametrize("name", ["a\x1bb", "a\0b", "a\nb", "\u202eadmin", "a\u200bb"])
def test_what_would_deceive_a_reader_is_told_as_a_hash_only(name: str) -> None:
    told = name.encode().decode("latin-1")
    assert redacted(persons(USER, clear=("user",)), [("x-user-id", told)]).people == {}
    assert redacted(persons(USER), [("x-user-id", told)]).people == {"user": Named(hashed(name), "client")}


@pytest.mark.parametrize("header", ["mcp-session-id", "x-session-token", "authorization"])
def test_what_would_let_others_go_on_in_its_name_is_never_told_in_clear(header: str) -> None:
    found = redacted(persons(Source("session", header), clear=("session",)), [(header, NAME)])
    assert found.people == {"session": Named(hashed(NAME), "client")}
    assert NAME not in repr(found)


def test_the_hash_by_which_the_calls_of_an_mcp_session_are_found_stays() -> None:
    plainly, told = (
        redacted(persons(USER), [("mcp-session-id", NAME)]),
        redacted(persons(Source("session", "mcp-session-id")), [("mcp-session-id", NAME)]),
    )
    assert told.request == plainly.request


NAMED = ["x-user-id", "x-agent-id", "x-session-id", "x-payload", "baggage"]
SOURCES = [
    Source("user", "x-payload", claims=("sub",), by="verified"), Source("user", "x-user-id", by="gateway", callers=(GATEWAY,)),
    Source("user", "baggage", key="user.id"), Source("agent", "x-agent-id"), Source("session", "x-session-id"),
    Source("session", "baggage", key="session.id"),
]  # fmt: skip
names = st.sampled_from([
    NAME, f" {NAME} ", payload(sub=NAME), payload(sub=NAME)[:-1], "", "[redacted]", NAME * 99, f"hmac-sha256:{'a' * 32}",
])  # fmt: skip
baggage = st.lists(
    st.sampled_from([f"user.id={NAME}", f" session.id ={NAME};p={NAME}", f"user.id=\t{NAME}2", "user.id", "a=1", "user.id2=b", ""]),
    max_size=5,
)
texts = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=9)
pairs = (
    st.tuples(st.sampled_from(NAMED[:4]), names | texts)
    | st.tuples(st.just("baggage"), baggage.map(",".join) | texts)
    | st.tuples(st.sampled_from(["x-other", "content-type", ":path"]), texts)
)
blocks = st.lists(pairs, max_size=7)


@given(blocks, blocks, blocks, blocks, blocks.map(dict), st.sampled_from(["", GATEWAY, OTHER]), st.sampled_from([KEY, None]))
def test_a_name_that_is_hashed_is_in_no_header_and_nowhere_else(
    asked: Pairs, sent: Pairs, answered: Pairs, trailers: Pairs, logged: dict[str, str], principal: str, key: bytes | None
) -> None:
    more = {"request_trailers": pack(sent), "response_headers": pack(answered), "response_trailers": pack(trailers)}
    found = redacted(persons(*SOURCES, key=key), asked, logged, principal, **more)
    assert all(len(each.value) == 32 and set(each.value) <= set("0123456789abcdef") for each in found.people.values())
    assert NAME not in repr(found)
    assert payload(sub=NAME)[:-1] not in repr(found)
    assert [name for name, _ in found.request_headers] == [name for name, _ in asked or logged.items()]
