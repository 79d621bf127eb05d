"""Who is behind a call, by settings: in the record, in the usage event, and nowhere else; through the stages and through `serve`."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.request
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.demo.parts import CollectorProcess
from collector.demo.ports import Ports
from collector.errors import SettingsError
from collector.messages.headers import pack
from collector.settings import Settings, load
from tests.decode import transcripts as t
from tests.describe.telling import all_bytes, described, record, usage
from tests.describe.test_usage_event import ANSWER, VALIDATOR
from tests.support.posts import post
from tests.support.waits import until
from tests.support.witnesses import Told, Vm, parts

KEY = b"0123456789abcdef0123456789abcdef"
NAME, SESSION = "zoe-4711@example.org", "session-0815"
ASKED = json.dumps({"model": "m", "user": NAME, "messages": [{"role": "user", "content": "hi"}]}).encode()
PLAIN = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
PAYLOAD = urlsafe_b64encode(json.dumps({"sub": NAME, "ssn": "123"}).encode()).rstrip(b"=").decode()
SECONDS = 120.0


def people(folder: Path, more: dict[str, Any] | None = None, **of: Any) -> Settings:
    (folder / "key").write_bytes(KEY + b"\n")
    return Settings.model_validate({"people": of, "usage": {"consumer_key_file": folder / "key"}, **(more or {})})


def hashed(name: str) -> str:
    return hmac.new(KEY, name.encode(), hashlib.sha256).hexdigest()[:32]


def told(request: bytes = PLAIN) -> Told:
    return Told(1, path=t.CHAT, request=request, response=(ANSWER,))


def test_record_and_usage_event_tell_them_and_the_names_are_in_no_event(tmp_path: Path) -> None:
    settings = people(
        tmp_path,
        user=[{"header": "X-Jwt-Payload", "claims": ["sub"], "by": "verified"}],
        session=[{"header": "x-session-id", "by": "gateway"}],
        agent=[{"baggage": "agent"}],
        clear=["agent"],
    )
    asked = [("x-jwt-payload", PAYLOAD), ("x-session-id", SESSION), ("baggage", "agent=planner%207,tenant=a")]
    events = described(settings, told(), asked, answered=[("content-type", "application/json"), ("x-session-id", SESSION)])
    said = {
        "user": hashed(NAME), "user_by": "verified", "agent": "planner 7", "agent_by": "client",
        "session": hashed(SESSION), "session_by": "gateway",
    }  # fmt: skip
    assert {name: value for name, value in record(events)["caller"].items() if name in said} == said
    assert {name: value for name, value in usage(events).items() if name in said} == said
    VALIDATOR.validate(usage(events))
    assert not [name for name in (NAME, SESSION, PAYLOAD) if name.encode() in all_bytes(events)]
    assert ["baggage", "agent=planner%207,tenant=a"] in record(events)["request"]["headers"]


def test_a_name_in_a_body_is_told_as_the_clients_word_where_no_header_tells_it(tmp_path: Path) -> None:
    settings = people(tmp_path, user=[{"header": "x-user-id", "by": "gateway"}], bodies=True, clear=["user"])
    assert record(described(settings, told(ASKED)))["caller"]["user"] == hashed(NAME)
    assert record(described(settings, told(ASKED)))["caller"]["user_by"] == "client"
    events = described(settings, told(ASKED), [("x-user-id", "ann")])
    assert (record(events)["caller"]["user"], record(events)["caller"]["user_by"]) == ("ann", "gateway")


@pytest.mark.parametrize(
    "rules", [{"paths": ["user"]}, {"patterns": [r"[\w.-]+@example\.org"]}, {"paths": ["user", "messages"], "patterns": ["[a-z]oe"]}]
)
@pytest.mark.parametrize("name", [NAME, f"a {NAME}", "x" * 600 + NAME])
def test_what_rules_hide_in_the_body_is_told_as_a_hash_of_what_passed(tmp_path: Path, rules: dict[str, Any], name: str) -> None:
    events = described(people(tmp_path, {"redaction": rules}, bodies=True), told(ASKED.replace(NAME.encode(), name.encode())))
    if len(name) > 512:
        assert "user" not in record(events)["caller"]
    else:
        assert record(events)["caller"]["user"] == usage(events)["user"] == hashed(name)
    assert NAME.encode() not in all_bytes(events)


def test_what_the_taps_filter_hashed_is_told_without_a_key() -> None:
    settings = Settings.model_validate({"people": {"user": [{"header": "x-user-id", "by": "gateway"}]}})
    events = described(settings, told(), [("x-user-id", f"hmac-sha256:{hashed(NAME)}")])
    assert usage(events)["user"] == hashed(NAME)


def test_unless_it_is_set_nobody_is_told_and_headers_stay() -> None:
    events = described(Settings(), told(ASKED), [("x-user-id", NAME)])
    assert not {"user", "user_by", "session", "agent"} & set(record(events)["caller"])
    assert ["x-user-id", NAME] in record(events)["request"]["headers"]


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"user": [{"header": "x-user id"}]}, "people.user.0.header"),
        ({"user": [{}]}, "people.user.0"),
        ({"user": [{"header": "a", "baggage": "b"}]}, "people.user.0"),
        ({"user": [{"header": "baggage"}]}, "people.user.0"),
        ({"user": [{"header": "authorization", "claims": ["sub"]}]}, "outputPayloadToHeader"),
        ({"user": [{"header": "a", "claims": [""]}]}, "people.user.0.claims"),
        ({"user": [{"header": "a", "by": "me"}]}, "people.user.0.by"),
        ({"user": [{"header": "a", "callers": ["spiffe://a"]}]}, "callers"),
        ({"user": [{"header": "a"}] * 17}, "people.user"),
        ({"agent": [{"header": "user-agent"}]}, "clear"),
        ({"clear": ["users"]}, "people.clear.0"),
        ({"bodies": True}, "usage.consumer_key_file is needed"),
        ({"session": [{"baggage": "session.id"}]}, "usage.consumer_key_file is needed"),
    ],
)
def test_settings_that_cannot_hold_are_refused(tmp_path: Path, section: dict[str, Any], fault: str) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"people": section}))
    with pytest.raises(SettingsError) as refused:
        load(tmp_path / "c.yaml")
    assert fault in "\n".join(refused.value.faults)


def test_an_agent_in_clear_may_be_the_user_agent() -> None:
    settings = Settings.model_validate({"people": {"agent": [{"header": "user-agent"}], "clear": ["agent"]}})
    assert record(described(settings, told(), [("user-agent", "codex/1")]))["caller"]["agent"] == "codex/1"


def test_the_example_in_the_documents_can_be_set(tmp_path: Path) -> None:
    example = (Path(__file__).parents[2] / "docs/people.md").read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "c.yaml").write_text(example.replace("/etc/meshscribe/people.key", str(tmp_path / "key")))
    assert [len(of) for of in load(tmp_path / "c.yaml").people.sources.values()] == [3, 1, 2]


@pytest.mark.slow
def test_a_running_collector_stores_a_name_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    settings = {
        "MESHSCRIBE_PEOPLE__USER": '[{"header": "x-jwt-payload", "claims": ["sub"], "by": "verified"}]',
        "MESHSCRIBE_PEOPLE__SESSION": '[{"header": "x-session-id"}]',
        "MESHSCRIBE_PEOPLE__BODIES": "true",
        "MESHSCRIBE_REDACTION__PATHS": '["user"]',
        "MESHSCRIBE_USAGE__CONSUMER_KEY_FILE": str(tmp_path / "key"),
        "MESHSCRIBE_CORRELATE__EXPECT": "tap",
    }
    made = parts(told(ASKED))
    made[0].request_headers.map = pack([(":method", "POST"), (":path", t.CHAT), ("x-jwt-payload", PAYLOAD), ("x-session-id", SESSION)])
    made[-1].response_headers.map = pack([(":status", "200"), ("content-type", "application/json"), ("x-session-id", SESSION)])
    with Ports() as ports:
        collector = CollectorProcess(ports.take(), ports.take(), ports.take(), tmp_path, settings)
        collector.start()
        try:
            post(collector.ingest_port, Vm().seal(made).SerializeToString())
            [found] = until(lambda: exchanges(collector.url), bool, SECONDS)
        finally:
            collector.process.stop(30)
    assert (found["caller"]["user"], found["caller"]["user_by"]) == (hashed(NAME), "verified")
    assert (found["caller"]["session"], found["caller"]["session_by"]) == (hashed(SESSION), "client")
    stored = json.dumps(found).encode() + b"".join(path.read_bytes() for path in tmp_path.glob("events.db*"))
    assert not [name for name in (NAME, SESSION, PAYLOAD) if name.encode() in stored]


def exchanges(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/v1/exchanges", timeout=30) as answer:
        return [item for item in json.load(answer)["items"] if isinstance(item, dict)]
