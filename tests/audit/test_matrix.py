"""Who may see what: role × endpoint × namespace × format. Every cell is exactly one look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import delete

from collector.access.look_writer import LookWriter
from collector.access.looker import Looker, Person, Right
from collector.access.roles import ROLES, looker
from collector.audit.looks import STRANGERS, Looks, Strangers
from collector.audit.problems import problem
from collector.clock import SystemClock
from collector.settings.access_rules import Rule
from collector.store.schema import looks
from tests.audit.lookers import Catalogue, looks_in, seen_by, written_down
from tests.audit.rows import JOURNAL, MINUTE, NOW, Store, exchange, payload, window
from tests.support.clocks import TurnedClock

OWN, OTHER = "shop", "bank"
ROWS = {name: exchange(NOW - at * MINUTE, name, namespace=name, request_id=f"call-{name}") for at, name in enumerate((OWN, OTHER))}
SECRET = "what was said"


class Endpoint(NamedTuple):
    """A route of one namespace's things, the right that it needs, and how its answer shows whose they are."""

    path: str
    right: Right
    is_list: bool = False


ENDPOINTS = {
    "list": Endpoint("/v1/exchanges?namespace={ns}", Right.EXCHANGES, is_list=True),
    "stored list": Endpoint("/v1/exchanges?order=stored&namespace={ns}", Right.EXCHANGES, is_list=True),
    "record": Endpoint("/v1/exchanges/{id}", Right.EXCHANGES),
    "events": Endpoint("/v1/exchanges/{id}/events", Right.EXCHANGES),
    "call": Endpoint("/v1/calls/call-{ns}", Right.EXCHANGES),
    "request": Endpoint("/v1/exchanges/{id}/request", Right.BODIES),
    "response": Endpoint("/v1/exchanges/{id}/response", Right.BODIES),
    "seen by": Endpoint("/v1/exchanges/{id}/access", Right.ACCESS),
    "ledger": Endpoint("/v1/ledger?namespace={ns}", Right.LEDGER, is_list=True),
    "ledger by proxy": Endpoint("/v1/ledger?group=proxy&namespace={ns}", Right.LEDGER, is_list=True),
    "services": Endpoint("/v1/services?namespace={ns}", Right.SERVICES, is_list=True),
    "versions": Endpoint("/v1/services/{ns}/llama/versions", Right.SERVICES),
}
FORMATS = {"json": "application/json", "html": "text/html", "events": "application/cloudevents-batch+json", "any": "*/*"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two namespaces with one of each."""
    store = Store(Path(tmp_path_factory.mktemp("matrix")) / "events.db")
    for at, row in enumerate(ROWS.values()):
        said = b'{"id":"%s","inference":{"choices":[{"index":0,"text":"%s"}]},"service":{"namespace":"%s"},"completeness":[],"start":""}'
        row |= {"data": said % (row["id"].encode(), SECRET.encode(), row["namespace"].encode()), "position": at, "journal": JOURNAL}
        store.exchanges(row)
        store.payloads(payload(row, "request", SECRET.encode()), payload(row, "response", SECRET.encode()))
        told = window(NOW - at * MINUTE, f"node-{row['namespace']}", received=1)
        store.ledger({**told, "namespace": row["namespace"]})
    yield store
    store.close()


@pytest.fixture
async def writer(filled: Store) -> AsyncIterator[LookWriter]:
    async with written_down(filled) as writer:
        yield writer
    filled.transact(lambda connection: _forget(connection))


def _forget(connection: Any) -> None:
    connection.execute(delete(looks))


def person(role: str, limited: bool) -> Looker:
    """Ada, by one rule."""
    if role == "nobody":
        return looker([], Person("ada", "oidc"))
    told = {"when": {"name": "ada"}, "role": role, **({"namespaces": [OWN]} if limited else {})}
    return looker([Rule.model_validate(told)], Person("ada", "oidc"))


def expected(found: Looker, endpoint: Endpoint, namespace: str) -> tuple[int, bool]:
    """The status, and whether it shows something."""
    reach = found.rights.get(endpoint.right)
    if reach is None:
        return 403, False
    covered = reach.everything or namespace in reach.namespaces
    return (200, covered) if covered or endpoint.is_list else (404, False)


def shows(endpoint: Endpoint, answer: httpx.Response) -> bool:
    if answer.status_code != 200:
        return False
    return not endpoint.is_list or bool(answer.json()["items"])


@pytest.mark.parametrize("namespace", [OWN, OTHER])
@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("limited", [False, True], ids=["everything", "one namespace"])
@pytest.mark.parametrize("role", [*ROLES, "nobody"])
async def test_a_role_sees_what_is_its_own_and_is_seen_to(
    filled: Store, writer: LookWriter, role: str, limited: bool, name: str, namespace: str
) -> None:
    if role == "tenant" and not limited:
        with pytest.raises(ValueError, match="a tenant is somebody's"):
            person(role, limited)
        return
    found, endpoint = person(role, limited), ENDPOINTS[name]
    url = endpoint.path.format(ns=namespace, id=ROWS[namespace]["id"])
    status, showing = expected(found, endpoint, namespace)
    async with seen_by(filled, found, Catalogue([(OWN, "llama"), (OTHER, "llama")]), writer) as client:
        answers = [await client.get(url, headers={"Accept": kind}) for kind in FORMATS.values()]
    for answer in answers:
        assert (answer.status_code, shows(endpoint, answer)) == (status, showing)
        if Right.TEXTS not in found.rights:
            assert SECRET.encode() not in answer.content
            assert b"d2hhdCB3YXMgc2FpZA" not in answer.content  # the same in base64
    seen = looks_in(filled)
    assert [(look["name"], look["status"]) for look in seen] == [("ada", status)] * len(FORMATS)
    assert all(bool(look["count"]) <= showing for look in seen)


async def test_who_proves_nobody_is_seen_too(filled: Store, writer: LookWriter) -> None:
    app = Looks(problem(401, "Say who you are."), writer, SystemClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://audit") as client:
        assert (await client.get("/v1/exchanges?namespace=shop")).status_code == 401
    [look] = looks_in(filled)
    assert (look["name"], look["proof"], look["status"], look["filter"]) == ("", "nothing", 401, "namespace=shop")


def test_who_floods_without_proving_who_he_is_does_not_fill_the_store() -> None:
    clock = TurnedClock()
    strangers = Strangers(clock)
    assert sum(strangers.one_more() for _ in range(STRANGERS * 3)) == STRANGERS
    clock.now += 2_000_000
    assert sum(strangers.one_more() for _ in range(STRANGERS)) == 20
