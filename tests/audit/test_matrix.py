"""Who may see what: role × endpoint × namespace × format. Every cell is exactly one look."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import delete
from starlette.types import ASGIApp

from collector.access.look_writer import LookWriter
from collector.access.looker import Looker, Person, Right
from collector.access.roles import ROLES, looker
from collector.audit.looks import STRANGERS, Looks, Strangers
from collector.audit.problems import problem
from collector.clock import SystemClock
from collector.settings import Search
from collector.settings.access import Rule
from collector.store.schema import looks, looks_at
from tests.audit.lookers import Catalogue, looks_in, shown_to, whole_over, written_down
from tests.audit.reading import Tailing
from tests.audit.rows import JOURNAL, MINUTE, NOW, Store, exchange, payload, window
from tests.audit.whole_records import ANSWER, PATH, PROMPT, SECRETS, whole
from tests.support.clocks import TurnedClock

OWN, OTHER = "shop", "bank"
ROWS = {
    name: whole(exchange(NOW - at * MINUTE, name, namespace=name, request_id=f"call-{name}", node=f"node-{name}", path=PATH))
    for at, name in enumerate((OWN, OTHER))
}
Shows = Callable[[str, str], bool]


class Endpoint(NamedTuple):
    """A route of one namespace's things, the right that it needs, whether it is there for all who have that, and what shows whose they are.

    `other`: a right that it needs too. `everything`: the right is needed over everything.
    """

    path: str
    right: Right | None
    is_list: bool = False
    shows: Shows = lambda text, namespace: ROWS[namespace]["id"] in text
    other: Right | None = None
    everything: bool = False


def counted(name: str) -> Shows:
    return lambda text, _: bool(json.loads(text)[name])


def named(text: str, namespace: str) -> bool:
    return f"node-{namespace}" in text


def answered(_text: str, _namespace: str) -> bool:
    return True


WORD = SECRETS["prompt"]
MARKED = "annotation=team=a&label=tier=1&user=ann&session=s1&trace=0af7651916cd43dd8448eb211c80319c&tool=find&tokens=>1"
LINE = "annotation%3Ateam%3Da+label%3Atier%3D1+user%3Aann+session%3As1+tool%3Afind+tokens%3A%3E1"
HISTOGRAM = "/v1/histogram?since=2025-11-20T00:00:00Z&until=2025-11-24T00:00:00Z&namespace={ns}"  # the rows lie in it, whenever it is asked
ENDPOINTS = {
    "list": Endpoint("/v1/exchanges?namespace={ns}", Right.EXCHANGES, is_list=True),
    "list by marks": Endpoint("/v1/exchanges?namespace={ns}&" + MARKED, Right.EXCHANGES, is_list=True),
    "list by a line": Endpoint("/v1/exchanges?namespace={ns}&q=" + LINE, Right.EXCHANGES, is_list=True),
    "list by words": Endpoint("/v1/exchanges?namespace={ns}&text=" + WORD, Right.EXCHANGES, is_list=True, other=Right.TEXTS),
    "stored list": Endpoint("/v1/exchanges?order=stored&namespace={ns}", Right.EXCHANGES, is_list=True),
    "record": Endpoint("/v1/exchanges/{id}", Right.EXCHANGES),
    "events": Endpoint("/v1/exchanges/{id}/events", Right.EXCHANGES),
    "conversation": Endpoint("/v1/exchanges/{id}/conversation", Right.EXCHANGES),
    "timeline": Endpoint("/v1/exchanges/{id}/timeline", Right.EXCHANGES),
    "call": Endpoint("/v1/calls/call-{ns}", Right.EXCHANGES),
    "request": Endpoint("/v1/exchanges/{id}/request", Right.BODIES, shows=answered),
    "response": Endpoint("/v1/exchanges/{id}/response", Right.BODIES, shows=answered),
    "seen by": Endpoint("/v1/exchanges/{id}/access", Right.ACCESS, shows=answered),
    "access": Endpoint("/v1/access", Right.ACCESS, shows=answered, everything=True),
    "facets": Endpoint("/v1/facets?namespace={ns}", Right.EXCHANGES, is_list=True, shows=counted("counted_rows")),
    "facets by marks": Endpoint("/v1/facets?namespace={ns}&" + MARKED, Right.EXCHANGES, is_list=True, shows=counted("counted_rows")),
    "facets by words": Endpoint(
        "/v1/facets?namespace={ns}&text=" + WORD, Right.EXCHANGES, is_list=True, shows=counted("counted_rows"), other=Right.TEXTS
    ),
    "histogram": Endpoint(
        HISTOGRAM,
        Right.EXCHANGES,
        is_list=True,
        shows=counted("counted_rows"),
    ),
    "histogram by marks": Endpoint(
        HISTOGRAM + "&" + MARKED,
        Right.EXCHANGES,
        is_list=True,
        shows=counted("counted_rows"),
    ),
    "histogram by words": Endpoint(
        HISTOGRAM + "&text=" + WORD, Right.EXCHANGES, is_list=True, shows=counted("counted_rows"), other=Right.TEXTS
    ),
    "export by words": Endpoint("/v1/export?namespace={ns}&text=" + WORD, Right.EXCHANGES, is_list=True, other=Right.TEXTS),
    "export": Endpoint("/v1/export?namespace={ns}", Right.EXCHANGES, is_list=True),
    "export as a table": Endpoint("/v1/export?format=csv&namespace={ns}", Right.EXCHANGES, is_list=True),
    "export with bodies": Endpoint("/v1/export?bodies=true&namespace={ns}", Right.EXCHANGES, is_list=True, other=Right.BODIES),
    "usage": Endpoint("/v1/usage?group_by=model&namespace={ns}", Right.USAGE, is_list=True, shows=counted("items")),
    "ledger": Endpoint("/v1/ledger?namespace={ns}", Right.LEDGER, is_list=True, shows=named),
    "ledger by proxy": Endpoint("/v1/ledger?group=proxy&namespace={ns}", Right.LEDGER, is_list=True, shows=named),
    "ledger map": Endpoint("/v1/ledger/map?namespace={ns}", Right.LEDGER, is_list=True, shows=named),
    "services": Endpoint("/v1/services?namespace={ns}", Right.SERVICES, is_list=True, shows=counted("items")),
    "versions": Endpoint("/v1/services/{ns}/llama/versions", Right.SERVICES, shows=answered),
    "page of exchanges": Endpoint("/?namespace={ns}", Right.EXCHANGES, is_list=True),
    "page of an exchange": Endpoint("/exchanges/{id}", Right.EXCHANGES),
    "page of usage": Endpoint("/usage?namespace={ns}", Right.USAGE, is_list=True, shows=lambda text, _: "llama" in text),
    "page of losses": Endpoint("/losses", Right.LEDGER, is_list=True, shows=named),
    "page of services": Endpoint(
        "/services", Right.SERVICES, is_list=True, shows=lambda text, namespace: f"/services/{namespace}/" in text
    ),
    "page of a service": Endpoint("/services/{ns}/llama", Right.SERVICES, shows=answered),
    "page of looks": Endpoint("/access", Right.ACCESS, shows=answered, everything=True),
    "page of the status": Endpoint("/status", None, shows=answered),
}
FORMATS = {"json": "application/json", "html": "text/html", "events": "application/cloudevents-batch+json"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two namespaces with one of each."""
    store = Store(Path(tmp_path_factory.mktemp("matrix")) / "events.db")
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # as the sink has it: it writes while others read
    for at, row in enumerate(ROWS.values()):
        row |= {"position": at + 1, "journal": JOURNAL}
        store.exchanges(row)
        store.payloads(payload(row, "request", PROMPT), payload(row, "response", ANSWER))
        store.words(row["id"], WORD)
        told = window(NOW - at * MINUTE, f"node-{row['namespace']}", received=1)
        store.ledger({**told, "namespace": row["namespace"]})
        store.usage(NOW, calls=1, output=5, namespace=row["namespace"], service="llama", model="llama-3")
    yield store
    store.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def writer_of_all(filled: Store) -> AsyncIterator[LookWriter]:
    async with written_down(filled) as made:
        yield made


@pytest.fixture
def writer(filled: Store, writer_of_all: LookWriter) -> Iterator[LookWriter]:
    """What it wrote is forgotten with the test."""
    yield writer_of_all
    filled.transact(_forget)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(filled: Store, writer_of_all: LookWriter) -> AsyncIterator[ASGIApp]:
    """Made once: it takes longer than all that one person asks of it."""
    async with whole_over(filled, Catalogue([(OWN, "llama"), (OTHER, "llama")]), writer_of_all, search=Search(text=True)) as made:
        yield made


def _forget(connection: Any) -> None:
    connection.execute(delete(looks))
    connection.execute(delete(looks_at))


def person(role: str, limited: bool) -> Looker:
    """Ada, by one rule."""
    if role == "nobody":
        return looker([], Person("ada", "oidc"))
    told = {"when": {"name": "ada"}, "role": role, **({"namespaces": [OWN]} if limited else {})}
    return looker([Rule.model_validate(told)], Person("ada", "oidc"))


def expected(found: Looker, endpoint: Endpoint, namespace: str) -> tuple[int, bool]:
    """The status, and whether it shows something."""
    if endpoint.right is None:
        return 200, True
    reach = found.rights.get(endpoint.right)
    refused = reach is None or (endpoint.everything and not reach.everything) or (endpoint.other and endpoint.other not in found.rights)
    if reach is None or refused:
        return 403, False
    covered = reach.everything or namespace in reach.namespaces or endpoint.everything
    return (200, covered) if covered or endpoint.is_list else (404, False)


def has_secret(content: bytes) -> list[str]:
    """The texts that are in it, in base64 too, wherever they begin there."""
    packed = {name: base64.b64encode(text.encode())[:-4] for name, text in SECRETS.items()}
    return [name for name, text in SECRETS.items() if text.encode() in content or packed[name] in content]


PEOPLE = [(role, limited) for role in (*ROLES, "nobody") for limited in (False, True) if (role, limited) != ("tenant", False)]
QUICK = {("tenant", True), ("nobody", False)}  # all of one, and nothing
together = pytest.mark.asyncio(loop_scope="module")  # with the application
who = pytest.mark.parametrize(
    ("role", "limited"),
    [pytest.param(*one, id=f"{one[0]}-{'one' if one[1] else 'all'}", marks=[] if one in QUICK else pytest.mark.slow) for one in PEOPLE],
)


@together
@pytest.mark.parametrize("name", ENDPOINTS)
@who
async def test_a_role_sees_what_is_its_own_and_is_seen_to(
    filled: Store, app: ASGIApp, writer: LookWriter, role: str, limited: bool, name: str
) -> None:
    found, endpoint = person(role, limited), ENDPOINTS[name]
    asked = 0
    async with shown_to(found, app) as client:
        for namespace in (OWN, OTHER):
            url = endpoint.path.format(ns=namespace, id=ROWS[namespace]["id"])
            status, showing = expected(found, endpoint, namespace)
            for method, kind in (*(("GET", kind) for kind in FORMATS.values()), ("HEAD", "*/*")):
                answer = await client.request(method, url, headers={"Accept": kind})
                assert answer.status_code == status, answer.text[:500]
                assert method == "HEAD" or status != 200 or endpoint.shows(answer.text, namespace) == showing
                if Right.TEXTS not in found.rights:
                    assert has_secret(answer.content) == []
                asked += 1
                written = looks_in(filled)
                look = written[-1] if written else None
                assert len(written) == (asked if name != "page of the status" or Right.LEDGER in found.rights else 0)
                if look is not None:
                    assert (look["name"], look["status"]) == ("ada", status)
                    assert showing or name in WIDE or not look["count"]


WIDE = ("page of losses", "page of services", "page of the status")  # not of one namespace alone


def test_a_tenant_is_somebodys() -> None:
    with pytest.raises(ValueError, match="a tenant is somebody's"):
        person("tenant", limited=False)


@together
@who
async def test_a_tail_shows_what_is_ones_own_and_is_seen_to(
    filled: Store, app: ASGIApp, writer: LookWriter, role: str, limited: bool
) -> None:
    found = person(role, limited)
    async with shown_to(found, app) as client:
        reader = Tailing(client._transport.app, f"after={JOURNAL}:0:0")  # type: ignore[attr-defined]
        status = await reader.begin()
        assert status == (200 if Right.EXCHANGES in found.rights else 403)
        events = [await reader.told() for _ in range(1 if limited else 2)] if status == 200 else []
        await reader.leave()
    assert [one.data["id"] for one in events] == [ROWS[name]["id"] for name in (OWN, OTHER)][: len(events)]
    if Right.TEXTS not in found.rights:
        assert has_secret(json.dumps([one.data for one in events]).encode()) == []
    seen = [(look["name"], look["status"], look["count"], look["shown"]) for look in looks_in(filled)]
    texts = len(events) if Right.TEXTS in found.rights else 0
    assert seen == ([("ada", 200, 0, 0), ("ada", 200, len(events), texts)] if events else [("ada", 403, 0, 0)])


@together
async def test_a_text_in_a_record_is_seen_by_who_may(app: ASGIApp, writer: LookWriter) -> None:
    """Else the test above would find nothing either way."""
    async with shown_to(person("auditor", False), app) as client:
        shown = {name for path in ("", "/conversation", "/request") for name in has_secret((await client.get(f"{URL}{path}")).content)}
    assert shown >= SECRETS.keys() - {"file"}


URL = f"/v1/exchanges/{ROWS[OWN]['id']}"


@together
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
