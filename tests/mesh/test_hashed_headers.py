"""Through the real Envoy: API keys can be told apart by their hashes, and leave the proxy in no other form."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import pytest

from collector.demo.envoy_filters import tap_config
from tests.mesh.harness import QUICK_TAP, Mesh, Proxy, new_id, proxy_with
from tests.mesh.rawhttp import Raw, request

KEY = "a key of more than 16 bytes"
HASHED = ["Authorization", "x-api-key", "x-team"]
PLUGINS = {
    "hashing": tap_config(**QUICK_TAP, hash_headers=HASHED, hash_key=KEY),
    "keyless": tap_config(**QUICK_TAP, hash_headers=HASHED),
    "short_key": tap_config(**QUICK_TAP, hash_headers=HASHED, hash_key="fifteen bytes.."),
    "unreadable": tap_config(**QUICK_TAP, hash_headers="x-team", hash_key=KEY),
}


@pytest.fixture(scope="module")
def proxy(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxy_with(mesh, tmp_path_factory.mktemp("hashing"), PLUGINS) as made:
        yield made


def told(mesh: Mesh, proxy: Proxy, listener: str, header: str, flag: str = "complete") -> dict[str, str]:
    """The request headers that are stored of a request with this header line."""
    request_id = new_id()
    with Raw(proxy.ports[listener]) as connection:
        connection.send(request(request_id, "POST", "/echo", f"{header}\r\n", b"unharmed"))
        answer = connection.answer()
    assert (answer.status, answer.body) == (200, b"unharmed")
    record = mesh.exchange(request_id, flag)
    assert header.rpartition(" ")[2] not in str(record)
    return dict(record["request"].get("headers", []))


def hashed(secret: str) -> str:
    return "hmac-sha256:" + hmac.new(KEY.encode(), secret.encode(), hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("authorization: Bearer sk-1234567890", "authorization"),
        ("Authorization: sk-1234567890", "authorization"),
        ("X-Api-Key: sk-1234567890", "x-api-key"),
        ("x-team: sk-1234567890", "x-team"),
    ],
)
def test_a_key_has_one_hash_under_every_header(mesh: Mesh, proxy: Proxy, header: str, name: str) -> None:
    assert told(mesh, proxy, "hashing", header)[name] == hashed("sk-1234567890")


def test_another_secret_is_hidden_as_ever(mesh: Mesh, proxy: Proxy) -> None:
    assert told(mesh, proxy, "hashing", "cookie: session=123456")["cookie"] == "[redacted]"


@pytest.mark.parametrize("listener", ["keyless", "short_key"])
@pytest.mark.parametrize("name", ["authorization", "x-team"])
def test_without_a_good_key_the_header_is_hidden_and_all_else_is_told(mesh: Mesh, proxy: Proxy, listener: str, name: str) -> None:
    assert told(mesh, proxy, listener, f"{name}: sk-1234567890")[name] == "[redacted]"


def test_names_that_cannot_be_read_let_traffic_pass_untapped(mesh: Mesh, proxy: Proxy) -> None:
    told(mesh, proxy, "unreadable", "x-team: sk-1234567890", "tap_missing")


def test_the_faults_are_counted_and_named_in_the_proxys_log_without_the_key(proxy: Proxy) -> None:
    assert sum(proxy.envoy.stats("config_errors").values()) >= 3
    log = proxy.envoy.process.log.read_text()
    assert "hash_key: must have at least 16 bytes, not 15" in log
    assert "hash_headers: must be a list, not a text" in log
    assert "fifteen" not in log
