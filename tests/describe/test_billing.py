"""Which hop is billed, and to which consumer."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from collector.describe.hops import Billing, hop
from collector.messages.exchange import Exchange, Key, Node
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.describe.telling import all_bytes, described, record, usage
from tests.describe.test_usage_event import ANSWER, CHAT, VALIDATOR
from tests.support.witnesses import Told

KEY = b"0123456789abcdef0123456789abcdef"
TOLD = Told(1, path="/v1/chat/completions", request=CHAT, response=(ANSWER,))


def settings(folder: Path, with_key: bool = True, **more: Any) -> Settings:
    (folder / "key").write_bytes(KEY + b"\n")
    named = {"consumer_headers": ["X-Consumer-Id", "authorization"], **({"consumer_key_file": folder / "key"} if with_key else {})}
    return Settings(usage={**named, **more})


def hashed(secret: str) -> str:
    return hmac.new(KEY, secret.encode(), hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize(
    ("roles", "hop"),
    [
        ([], {"role": "predictor", "billable": True, "rule": "predictor-hop"}),
        (["gateway"], {"role": "predictor", "billable": False, "rule": "configured:not-billed"}),
        (["gateway", "predictor"], {"role": "predictor", "billable": True, "rule": "configured:predictor-hop"}),
    ],
)
def test_the_rule_says_whether_it_was_configured(roles: list[str], hop: dict[str, Any]) -> None:
    events = described(Settings(usage={"billable_hops": roles}), TOLD)
    assert usage(events)["hop"] == record(events)["hop"] == hop
    VALIDATOR.validate(usage(events))


@pytest.mark.parametrize(("metered", "billing", "billed"), [
    (True, Billing(), True),
    (False, Billing(), False),
    (False, Billing(frozenset({"server"}), configured=True), True),
])  # fmt: skip
def test_a_workload_that_is_no_service_is_billed_where_usage_was_decoded_or_where_the_operator_says(
    metered: bool, billing: Billing, billed: bool
) -> None:
    plain = Exchange(Key("sidecar~10.0.0.1~app.demo~demo", b"id", 0), 0, Node("sidecar~10.0.0.1~app.demo~demo"), 0, None, None)
    found = hop(plain, {}, billing, "chat.completion", metered)
    assert (found["role"], found["billable"]) == ("server", billed)


def test_to_list_models_costs_nothing() -> None:
    told = Told(1, path="/v2/repository/index", request=b"", response=(b"[]",))
    assert usage(described(Settings(), told))["hop"] == {"role": "predictor", "billable": False, "rule": "not-billed"}


def test_a_consumer_is_known_by_a_hash_and_its_key_is_in_no_event(tmp_path: Path) -> None:
    events = described(settings(tmp_path), TOLD, [("x-consumer-id", "acme-4711")])
    assert usage(events)["consumer"] == record(events)["caller"]["consumer"] == hashed("acme-4711")
    assert b"acme-4711" not in all_bytes(events)
    assert ["x-consumer-id", "[redacted]"] in record(events)["request"]["headers"]
    VALIDATOR.validate(usage(events))


def test_a_key_is_the_same_consumer_in_every_header_and_with_a_scheme(tmp_path: Path) -> None:
    bearer = described(settings(tmp_path), TOLD, [("authorization", "Bearer acme-4711")])
    assert usage(bearer)["consumer"] == hashed("acme-4711")
    assert b"acme-4711" not in all_bytes(bearer)


def test_a_key_that_the_proxy_redacted_names_nobody(tmp_path: Path) -> None:
    events = described(settings(tmp_path), TOLD, [("authorization", "[redacted]")])
    assert "consumer" not in usage(events)


def test_a_hash_that_the_tap_filter_made_is_the_consumer_also_without_a_key(tmp_path: Path) -> None:
    events = described(settings(tmp_path, with_key=False), TOLD, [("authorization", f"hmac-sha256:{hashed('acme-4711')}")])
    assert usage(events)["consumer"] == hashed("acme-4711")


def test_without_a_key_a_plain_value_names_nobody_and_is_hidden_all_the_same(tmp_path: Path) -> None:
    events = described(settings(tmp_path, with_key=False), TOLD, [("x-consumer-id", "acme-4711")])
    assert "consumer" not in usage(events)
    assert b"acme-4711" not in all_bytes(events)


def test_the_access_log_can_name_the_consumer_too(tmp_path: Path) -> None:
    events = described(settings(tmp_path), TOLD, [("authorization", "[redacted]")], logged=[("x-consumer-id", "acme-4711")])
    assert usage(events)["consumer"] == hashed("acme-4711")
    assert b"acme-4711" not in all_bytes(events)


def test_without_the_setting_nothing_is_hashed() -> None:
    events = described(Settings(), TOLD, [("x-consumer-id", "acme")])
    assert "consumer" not in usage(events)
    assert ["x-consumer-id", "acme"] in record(events)["request"]["headers"]


@pytest.mark.parametrize("lost", [0, 2])
def test_tokens_are_not_estimated_of_a_body_of_which_bytes_are_missing(lost: int) -> None:
    pieces = t.sse(t.words("one ", "two "), done=False), t.sse([t.delta({}, finish="stop")])
    told = Told(1, path=t.CHAT, request=CHAT, response=pieces)
    events = described(Settings(usage={"tokenizers": [{"bytes_per_token": 4}]}), told, answered=t.SSE, pieces=2, lost=lost)
    assert ("completion_tokens" in usage(events)["usage"]) is not bool(lost)


@pytest.mark.parametrize(("authority", "rule"), [
    ("iris-predictor.demo-shadow", "mirrored"),
    ("iris-predictor.demo-shadow:8080", "mirrored"),
    ("[fd00::1]-shadow", "mirrored"),
    ("llm-shadow", "predictor-hop"),
    ("llm-shadow:80", "predictor-hop"),
    ("llm-shadow.demo.svc", "predictor-hop"),
    ("fd00::1", "predictor-hop"),
    ("", "predictor-hop"),
])  # fmt: skip
def test_a_copy_that_a_mirror_made_is_not_billed_but_a_service_called_so_is(authority: str, rule: str) -> None:
    node = Node("sidecar~1~p", workload="llm-shadow", labels={"component": "predictor"})
    exchange = Exchange(Key(node.id, b"", 0), 0, node, 1, None, None)
    assert hop(exchange, {}, Billing(), "chat.completion", True, True, authority)["rule"] == rule
    assert hop(exchange, {}, Billing(mirrored=True), "chat.completion", True, True, authority)["rule"] == "predictor-hop"


def test_bill_mirrored_is_the_operators_to_say() -> None:
    told = Told(1, path="/v1/chat/completions", request=CHAT, response=(ANSWER,))
    asked = [(":authority", "iris.demo-shadow")]
    rules = [usage(described(Settings(usage={"bill_mirrored": billed}), told, asked))["hop"]["rule"] for billed in (False, True)]
    assert rules == ["mirrored", "predictor-hop"]
