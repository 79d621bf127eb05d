"""What the tap is told to leave out is left out, and the record says so."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.mesh.harness import BODY_LIMITS, BROKEN, Mesh, new_id
from tests.mesh.rawhttp import Answer, request

REQUEST_LIMIT, RESPONSE_LIMIT = BODY_LIMITS["request_body_bytes"], BODY_LIMITS["response_body_bytes"]
TAIL = BODY_LIMITS["tail_bytes"]
UNTOLD = {"log_only": "tap_missing", "tap_only": "access_log_missing", "addressed_tap_only": "access_log_missing"}
BOTH = ("tapped", "addressed")


@dataclass(frozen=True)
class Asked:
    """A request with a secret in its query and its referer, from a connection of this address, and what the client got."""

    request_id: str
    secret: str
    address: str
    answer: Answer


def ask(mesh: Mesh, listener: str, request_id: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
    with mesh.raw(listener) as connection:
        connection.send(request(request_id, "POST" if body else "GET", path, headers, body))
        return connection.answer()


@pytest.fixture(scope="module")
def asked(mesh: Mesh) -> dict[str, Asked]:
    """By listener, sent at once: where one witness says nothing, the collector waits for it as long as it lingers."""
    found = {}
    for listener in (*UNTOLD, *BOTH, *(f"broken_{fault}" for fault in BROKEN)):
        request_id, secret = new_id(), f"hidden-{new_id()}"
        referer = f"referer: https://a.example/b?sig={secret}&c=1\r\n"
        with mesh.raw(listener) as connection:
            connection.send(request(request_id, "POST", f"/echo?alt=sse&key={secret}", referer, b"one witness"))
            found[listener] = Asked(request_id, secret, connection.address, connection.answer())
    return found


@pytest.mark.parametrize(
    ("path", "rule", "level", "flags", "kept"),
    [
        ("/status?code=200", "health", "none", {"not_tapped"}, (False, False)),
        ("/bytes?size=5000", "sizes", "metadata", {"complete"}, (False, False)),
        ("/echo?query=no", "prompts", "request", {"complete"}, (True, False)),
        ("/echo/really", "default", "request_response", {"complete"}, (True, True)),
        ("/echo/sampled", "never", "none", {"not_tapped"}, (False, False)),
    ],
)
def test_the_first_rule_that_matches_decides(
    mesh: Mesh, path: str, rule: str, level: str, flags: set[str], kept: tuple[bool, bool]
) -> None:
    request_id, body = new_id(), b"what the rule is about"
    answer = ask(mesh, "ruled", request_id, path, body)
    record = mesh.exchange(request_id, *flags, listener="ruled")
    assert record["policy"] == {"rule": rule, "level": level}
    assert mesh.bodies(record) == (body if kept[0] else b"", answer.body if kept[1] else b"")
    assert record["request"]["body"]["size"] == len(body)
    assert record["response"]["body"]["size"] == len(answer.body)


def test_a_body_at_its_limit_is_whole(mesh: Mesh) -> None:
    request_id, body = new_id(), b"x" * REQUEST_LIMIT
    ask(mesh, "limited", request_id, "/echo", body)
    assert mesh.bodies(mesh.exchange(request_id, "complete", listener="limited")) == (body, body)


@pytest.mark.parametrize("size", [REQUEST_LIMIT + TAIL + 1, RESPONSE_LIMIT + TAIL + 1, 200_000])
def test_of_a_body_beyond_its_limit_the_beginning_and_the_end_are_kept_and_its_size_is_known(mesh: Mesh, size: int) -> None:
    request_id, body = new_id(), (bytes(range(250)) * 1000)[:size]
    ask(mesh, "limited", request_id, "/echo", body)
    cut = {"request_truncated"} | ({"response_truncated"} if size > RESPONSE_LIMIT + TAIL else set())
    record = mesh.exchange(request_id, *cut, listener="limited")
    kept = [body if size <= limit + TAIL else body[:limit] + body[-TAIL:] for limit in (REQUEST_LIMIT, RESPONSE_LIMIT)]
    assert list(mesh.bodies(record)) == kept
    assert record["request"]["body"]["size"] == record["response"]["body"]["size"] == size
    assert record["request"]["body"]["gaps"] == [[REQUEST_LIMIT, size - REQUEST_LIMIT - TAIL]]


def test_a_body_that_ends_within_its_tail_is_whole(mesh: Mesh) -> None:
    request_id, body = new_id(), b"y" * (REQUEST_LIMIT + TAIL)
    ask(mesh, "limited", request_id, "/echo", body)
    record = mesh.exchange(request_id, "complete", listener="limited")
    assert mesh.bodies(record) == (body, body)


@pytest.mark.parametrize(
    ("listener", "name", "stored"),
    [
        ("tapped", "authorization", False),
        ("tapped", "cookie", False),
        ("tapped", "x-api-key", False),
        ("tapped", "X-My-ToKeN-2", False),
        ("tapped", "x-customer", True),
        ("redacting", "x-customer", False),
        ("redacting", "x-passphrase-old", False),
    ],
)
def test_a_secret_header_does_not_land(mesh: Mesh, listener: str, name: str, stored: bool) -> None:
    request_id, secret = new_id(), f"hidden-{new_id()}"
    ask(mesh, listener, request_id, "/echo", b"x", f"{name}: {secret}\r\n")
    record = mesh.exchange(request_id, "complete", listener=listener)
    assert [name.lower(), secret if stored else "[redacted]"] in record["request"]["headers"]
    assert (secret in str(record)) is stored


@pytest.mark.parametrize("listener", ["tapped", "tap_only", "log_only"])
def test_a_secret_in_a_query_does_not_land_whichever_witness_tells_it(mesh: Mesh, asked: dict[str, Asked], listener: str) -> None:
    sent = asked[listener]
    record = mesh.exchange(sent.request_id, UNTOLD.get(listener, "complete"))
    assert record["request"]["path"] == "/echo?alt=sse&key=[redacted]"
    assert sent.secret not in str(record)
    found = mesh.audit.exchanges(path="/echo?alt=sse&key=[redacted]", request_id=sent.request_id)
    assert [one["id"] for one in found] == [record["id"]]


def test_without_an_access_log_the_tap_tells_all_it_saw(mesh: Mesh, asked: dict[str, Asked]) -> None:
    record = mesh.exchange(asked["tap_only"].request_id, "access_log_missing")
    assert mesh.bodies(record) == (b"one witness", b"one witness")
    assert record["response"]["status"] == 200


@pytest.mark.parametrize(("listener", "told"), [("tapped", True), ("addressed", True), ("tap_only", False), ("addressed_tap_only", True)])
def test_the_callers_address_is_told_by_the_access_log_or_by_a_tap_that_is_asked_for_it(
    mesh: Mesh, asked: dict[str, Asked], listener: str, told: bool
) -> None:
    sent = asked[listener]
    record = mesh.exchange(sent.request_id, UNTOLD.get(listener, "complete"))
    assert record["response"]["status"] == sent.answer.status == 200
    assert record["caller"].get("address") == (sent.address if told else None)


def test_without_a_tap_the_access_log_tells_all_it_saw(mesh: Mesh, asked: dict[str, Asked]) -> None:
    record = mesh.exchange(asked["log_only"].request_id, "tap_missing")
    assert mesh.bodies(record) == (b"", b"")
    assert record["response"]["status"] == 200
    assert record["request"]["body"]["size"] == 11


@pytest.mark.parametrize("fault", BROKEN)
def test_traffic_flows_through_a_tap_with_a_broken_configuration(mesh: Mesh, asked: dict[str, Asked], fault: str) -> None:
    sent = asked[f"broken_{fault}"]
    assert (sent.answer.status, sent.answer.body) == (200, b"one witness")
    assert mesh.exchange(sent.request_id, "tap_missing")["response"]["status"] == 200


def test_a_broken_configuration_is_counted_and_its_field_named_in_the_proxys_log(mesh: Mesh) -> None:
    counted = mesh.envoy.stats("config_errors")
    assert sum(counted.values()) >= len(BROKEN) - 1  # a cluster that is missing is no fault of the configuration's form
    log = mesh.envoy.process.log.read_text()
    for field in ("collector.cluster", "sampel", "request_body_bytes"):
        assert field in log
