"""No question breaks the API, and every answer is what its description says: schemathesis asks a collector in a process of its own.

Who asks is nobody, a tenant or an auditor. Half of what is asked is well formed, with ids and values that are there: else nearly all
answers would be refusals. What checks cannot know (a text that must read as a time) is no fault of an answer, so neither acceptance nor
rejection of data is checked, but statuses, media types, headers and schemas are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.specs.openapi import checks
from sqlalchemy import select

from collector.access.static_tokens import line, new_token
from collector.store.schema import exchanges
from tests.audit.lived_in import lived_in
from tests.support.cluster import collector_alone
from tests.support.effort import examples

RULES = '[{"when":{"group":"audit"},"role":"auditor"},{"when":{"name":"shop"},"role":"tenant","namespaces":["shop"]}]'
WHO = {"nobody": (), "tenant": ("shop", ()), "auditor": ("ada", ("audit",))}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
SECONDS = 0.2  # that a stream that does not end is read
SHORT, LONG = 8, 400  # questions of each route in each of the two ways
GOOD = {
    "since": ["7d", "2025-11-22T08:00:00Z", "2026-05-28T00:00:00+02:00"],
    "until": ["0s", "2030-01-01T00:00:00Z"],
    "namespace": ["shop", "bank", "demo", "nowhere"],
    "service": ["llama", "iris"],
    "node": ["node-shop"],
    "path": ["/v1/chat/completions", "/v1/*", "*"],
    "method": ["POST", "get,POST"],
    "status": ["200", "none", "2xx,503", "5xx"],
    "completeness": ["complete", "!complete", "access_log_missing,!complete"],
    "model": ["llama-3", "m-7b"],
    "annotation": ["team=a", "team=a,b"],
    "label": ["tier=1"],
    "tool": ["find"],
    "user": ["ann"],
    "protocol": ["openai-chat", "openai-chat,unknown"],
    "finish_reason": ["stop,length"],
    "streamed": ["true", "0"],
    "tokens": [">4", "1..10", "9223372036854775808"],
    "duration": ["<=2s", ">1ms"],
    "size": [">=1k"],
    "q": ["namespace:shop tokens:>1", 'user:"ann" -x', "status:"],
    "limit": ["1", "3", "10000"],
    "order": ["asc", "desc", "stored"],
    "after": ["now", "chats:1:0", ""],
    "group_by": ["model", "namespace,service,day", "hour", "annotation:team"],
    "group": ["proxy", "window"],
    "format": ["ndjson", "csv"],
    "bodies": ["true"],
    "revisions": ["all", "newest"],
    "revision": ["0", "1", "7"],
    "fields": ["namespace,model", "session,trace"],
    "buckets": ["1", "500"],
    "steps": ["1", "500"],
    "values": ["1"],
    "action": ["list", "record"],
    "who": ["ada"],
}


class Asked(NamedTuple):
    """The collector, as one of those who ask sees it. `paths`: values for each parameter of a path."""

    url: str
    schema: BaseSchema
    tokens: dict[str, str]
    paths: dict[str, list[str]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    folder: Path = tmp_path_factory.mktemp("asked")
    store = lived_in(folder / "events.db")
    with store.engine.connect() as connection:
        rows = connection.execute(select(exchanges.c.id, exchanges.c.request_id)).all()
    store.close()
    tokens = {who: new_token() for who, named in WHO.items() if named}
    lines = [line(name, tokens[who], groups) for who, (name, groups) in ((who, named) for who, named in WHO.items() if named)]  # type: ignore[misc]
    (folder / "tokens").write_text("\n".join(lines), encoding="utf-8")
    environment = {
        "MESHSCRIBE_SINK__URL": f"sqlite:///{folder}/events.db",
        "MESHSCRIBE_ACCESS__TOKENS_FILE": str(folder / "tokens"),
        "MESHSCRIBE_ACCESS__RULES": RULES,
    }
    with ExitStack() as stack:
        collector = collector_alone(folder, stack, environment)
        told = requests.get(f"{collector.url}/openapi.json", headers={"Authorization": f"Bearer {tokens['auditor']}"}, timeout=10).json()
        known = {"id": [row.id for row in rows], "request_id": [row.request_id for row in rows], "namespace": ["shop"], "name": ["llama"]}
        yield Asked(collector.url, schemathesis.openapi.from_dict(told), tokens, known)
        log = (folder / "collector.log").read_text()
        assert "Traceback" not in log


@st.composite
def questions(draw: st.DrawFn, operation: APIOperation[Any, Any, Any], known: dict[str, list[str]], mode: GenerationMode) -> Case:
    """A question as the schema allows it (or just not), or one of values that are there."""
    if draw(st.booleans()):
        return draw(operation.as_strategy(generation_mode=mode))
    takes = [one.name for one in operation.query if one.name in GOOD]
    names = draw(st.lists(st.sampled_from(takes), max_size=4, unique=True)) if takes else []
    query = {name: draw(st.sampled_from(GOOD[name])) for name in names}
    path = {one.name: draw(st.sampled_from(known.get(one.name, ["none"]))) for one in operation.path_parameters}
    return operation.Case(query=query, path_parameters=path)


def ask_all(asked: Asked, tries: int) -> None:
    """Every route, so often in each way. Raises what the first answer that breaks its word breaks."""
    sessions = {who: requests.Session() for who in WHO}
    for who, token in asked.tokens.items():
        sessions[who].headers["Authorization"] = f"Bearer {token}"
    for found in asked.schema.get_all_operations():
        for mode in GenerationMode:
            _ask(found.ok(), mode, asked, sessions, tries)
    for session in sessions.values():
        session.close()


def _ask(
    operation: APIOperation[Any, Any, Any], mode: GenerationMode, asked: Asked, sessions: dict[str, requests.Session], tries: int
) -> None:
    @given(questions(operation, asked.paths, mode), st.sampled_from(list(WHO)))
    @settings(max_examples=tries, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck), database=None)
    def hold(case: Case, who: str) -> None:
        is_tail = operation.path == "/v1/tail"
        try:
            case.call_and_validate(asked.url, session=sessions[who], checks=CHECKS, timeout=SECONDS if is_tail else 30)
        except requests.ReadTimeout:  # of a stream's beginning, on a busy machine: then there is nothing to look at
            assert is_tail

    hold()


@pytest.mark.slow
def test_no_question_breaks_the_api(asked: Asked) -> None:
    ask_all(asked, examples(SHORT))


@pytest.mark.soak
def test_no_question_of_many_breaks_the_api(asked: Asked) -> None:
    ask_all(asked, LONG)
