"""GET /v1/usage: sums by what is asked, never without what is not known of them, and of nothing that one may not see."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from fastapi import Request
from sqlalchemy import Connection, text

from collector.access.looker import NOBODY, Looker, Reach, Right
from collector.audit import looking
from collector.messages.event import Output, Place
from collector.settings import Sink, Usage
from collector.sinks.open import open_sink
from tests.audit.conftest import Api
from tests.audit.postgres_store import PostgresStore
from tests.audit.rows import JOURNAL, MINUTE, NOW, Store, window
from tests.store.test_usage_sums import output
from tests.support.clocks import TurnedClock
from tests.support.events import NODE, identity

HOUR = 60 * MINUTE
DAY = 24 * HOUR
TODAY = "2025-11-22"


def told(
    number: int, *, at: int = NOW, revision: int = 0, classes: dict[str, int] | None = None, absent: str | None = None, **more: Any
) -> dict[str, Any]:
    """A record of a call that is billed."""
    of: dict[str, Any] = {
        "id": identity(at + number, str(number)),
        "revision": revision,
        "start": "",
        "proxy": {"node": NODE, "namespace": more.get("namespace", "prod")},
        "service": {"name": more.get("service", "llama"), "annotations": more.get("annotations", {})},
        "hop": {"role": "predictor", "billable": more.get("billable", True), "rule": "predictor-hop"},
        "caller": {name: more[name] for name in ("consumer", "user") if name in more},
        "request": {"body": {}},
        "response": {"body": {}},
        "inference": {"protocol": "openai-chat", "model_requested": more.get("model", "m")},
        "completeness": ["complete"],
    }
    if classes is not None:
        of |= {"usage": {"prompt_tokens": {"value": 1, "provenance": "reported"}}, "usage_classes": classes}
    return of | ({"usage_absent": absent} if absent else {})


def settings(store: Store) -> Sink:
    return Sink(url=store.database.url if isinstance(store, PostgresStore) else f"sqlite:///{store.path}")


async def fill(api: Api, *records: dict[str, Any], usage: Usage | None = None) -> None:
    """As the pipeline writes it."""
    sink = open_sink(settings(api.store), TurnedClock(NOW), usage or Usage(group_annotations=["example.com/team"]))
    outputs: list[Output] = [output(of, Place(n, 0)) for n, of in enumerate(records, 1)]
    await sink.resend(JOURNAL, outputs)
    await sink.close()


async def usage(api: Api, **parameters: str | int) -> dict[str, Any]:
    answer = await api.get("/v1/usage", **parameters)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def groups(page: dict[str, Any]) -> list[tuple[dict[str, str], int, dict[str, int]]]:
    return [(item["group"], item["calls"], item["tokens"]) for item in page["items"]]


async def test_nothing_is_stored_and_nothing_is_summed(api: Api) -> None:
    page = await usage(api, group_by="model")
    assert page["items"] == []
    assert page["totals"] == {"calls": 0, "tokens": {}, "coverage": {"without_usage": 0, "share_without_usage": 0.0}}
    assert page["losses"] == {"lost": 0, "times_away": 0}


async def test_sums_by_what_is_asked(api: Api) -> None:
    await fill(
        api,
        told(1, classes={"input_uncached": 3, "output": 5}, model="a", consumer="c1", user="u"),
        told(2, classes={"input_uncached": 4, "reasoning": 1}, model="a", consumer="c2"),
        told(3, classes={"output": 7}, model="b", namespace="test"),
        told(4, classes={"output": 100}, model="b", billable=False),
    )
    assert groups(await usage(api, group_by="model")) == [
        ({"model": "a"}, 2, {"input_uncached": 7, "output": 5, "reasoning": 1}),
        ({"model": "b"}, 1, {"output": 7}),
    ]
    assert {tuple(group.items()) for group, *_ in groups(await usage(api, group_by="consumer,user"))} == {
        (("consumer", "c1"), ("user", "u")),
        (("consumer", "c2"),),
        (),
    }
    assert groups(await usage(api, group_by="namespace,service,protocol,caller", namespace="test")) == [
        ({"namespace": "test", "service": "llama", "protocol": "openai-chat"}, 1, {"output": 7})
    ]
    assert (await usage(api, model="a"))["totals"]["calls"] == 2
    assert (await usage(api, model="none"))["items"] == []


async def test_csv_has_a_line_for_each_group_and_says_last_what_the_sums_do_not_tell(api: Api) -> None:
    await fill(api, told(1, classes={"output": 5}, model="=a"), told(2, absent="not_told", model="=a"), told(3, classes={"output": 7}))
    answer = await api.get("/v1/usage", group_by="model,day", format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    *lines, last = answer.text.splitlines()
    rows = list(csv.DictReader(lines))
    assert [(row["model"], row["day"], row["calls"], row["output"], row["without_usage"]) for row in rows] == [
        ("'=a", TODAY, "2", "5", "1"),
        ("m", TODAY, "1", "7", "0"),
    ]
    name, _, said = last.partition(" ")
    assert name == "#meshscribe_usage"
    whole = (await api.get("/v1/usage", group_by="model,day")).json()
    assert json.loads(said) == {name: value for name, value in whole.items() if name != "items"}


async def test_a_group_that_a_revision_has_left_is_not_there(api: Api) -> None:
    await fill(api, told(1, classes={"output": 5}, model="a"))
    await fill(api, told(1, classes={"output": 6}, model="b", revision=1))
    for grouping, group in (("model", {"model": "b"}), ("model,day", {"model": "b", "day": TODAY})):
        page = await usage(api, group_by=grouping)
        assert groups(page) == [(group, 1, {"output": 6})]
        assert page["totals"]["calls"] == 1


async def test_a_call_without_usage_is_told_beside_the_sum(api: Api) -> None:
    await fill(
        api, told(1, classes={"output": 5}), told(2, absent="not_told"), told(3, absent="not_asked"), told(4, classes={"output": 1 << 40})
    )
    coverage = (await usage(api))["totals"]["coverage"]
    assert coverage == {"without_usage": 2, "share_without_usage": 0.5, "reasons": {"not_asked": 1, "not_told": 1}, "unclassed": 1}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("hour", ["2025-10-31T23:00:00Z", "2025-11-01T00:00:00Z", "2025-11-22T07:00:00Z", "2025-11-22T08:00:00Z"]),
        ("day", ["2025-10-31", "2025-11-01", "2025-11-22"]),
        ("month", ["2025-10", "2025-11"]),
    ],
)
async def test_sums_by_time(api: Api, unit: str, expected: list[str]) -> None:
    november = 1_761_955_200_000_000
    moments = (november - 1_000_000, november, NOW - HOUR, NOW)
    await fill(api, *(told(n, at=at, classes={"output": 10**n}) for n, at in enumerate(moments)))
    page = await usage(api, group_by=unit)
    assert [item["group"][unit] for item in page["items"]] == expected
    assert sum(item["tokens"]["output"] for item in page["items"]) == page["totals"]["tokens"]["output"] == 1111


@pytest.mark.parametrize(
    ("since", "until", "calls"),
    [
        ("2025-11-22T08:30:00Z", "2025-11-22T08:31:00Z", 1),
        ("2025-11-22T08:00:00Z", "2025-11-22T08:00:00Z", 0),
        ("2025-11-19T09:00:00Z", "2025-11-22T08:00:00Z", 2),
        ("2025-11-19T08:59:00Z", "2025-11-22T09:00:00Z", 4),
        ("2025-11-20T00:00:00Z", "2025-11-22T00:00:00Z", 2),
        ("2025-11-30T00:00:00Z", "2025-12-01T00:00:00Z", 0),
    ],
)
async def test_a_span_is_of_whole_hours_and_says_so(api: Api, since: str, until: str, calls: int) -> None:
    await fill(api, *(told(n, at=NOW - n * DAY, classes={"output": 1}) for n in range(4)))
    for grouping in ("hour", "day", "model"):
        page = await usage(api, since=since, until=until, group_by=grouping)
        assert page["totals"]["calls"] == sum(item["calls"] for item in page["items"]) == calls
    assert page["since"] == f"{since[:14]}00:00Z"


async def test_groups_by_annotations_that_the_settings_name(api: Api) -> None:
    await fill(
        api,
        told(1, classes={"output": 1}, annotations={"example.com/team": 'a"b', "other": "x"}),
        told(2, classes={"output": 2}, annotations={"example.com/team": "b"}),
        told(3, classes={"output": 4}),
    )
    page = await usage(api, group_by="annotation:example.com/team")
    assert {item["group"].get("annotation:example.com/team"): item["tokens"]["output"] for item in page["items"]} == {
        'a"b': 1,
        "b": 2,
        None: 4,
    }
    assert (await usage(api, annotation="example.com/team=b"))["totals"]["tokens"] == {"output": 2}


async def test_names_without_end_are_summed_under_other_and_said(api: Api) -> None:
    await fill(api, *(told(n, classes={"output": 1}, model=f"made-up-{n}") for n in range(30)), usage=Usage(keys_per_day=10))
    page = await usage(api, group_by="namespace,model")
    assert len(page["items"]) == 11
    assert page["items"][0] | {"coverage": None} == {
        "group": {"namespace": "prod", "model": "other"}, "folded": True, "calls": 20, "tokens": {"output": 20}, "coverage": None,
    }  # fmt: skip
    assert not any("folded" in item for item in page["items"][1:])
    assert page["totals"]["calls"] == 30


async def test_a_model_that_is_called_other_is_not_taken_for_the_rest(api: Api) -> None:
    made = [told(n, classes={"output": 1}, model=f"made-up-{n}") for n in range(12)]
    await fill(api, told(99, classes={"output": 1}, model="other"), *made, usage=Usage(keys_per_day=10))
    others = [item for item in (await usage(api, group_by="model"))["items"] if item["group"]["model"] == "other"]
    assert [(item["calls"], "folded" in item) for item in others] == [(3, True), (1, False)]


async def test_what_a_limit_leaves_out_is_counted_and_is_in_the_totals(api: Api) -> None:
    await fill(api, *(told(n, classes={"output": 1}, model=f"m-{n % 5}") for n in range(12)))
    page = await usage(api, group_by="model", limit=2)
    assert [item["calls"] for item in page["items"]] == [3, 3]
    assert (page["left_out"], page["totals"]["calls"]) == (3, 12)


async def test_losses_of_the_same_time_stand_beside_it(api: Api) -> None:
    api.store.ledger(window(NOW, "a", received=5, missing=2), window(NOW - 2 * DAY, "a", dropped={"queue": 9}))
    assert (await usage(api, since="2h"))["losses"] == {"lost": 2, "times_away": 0}
    assert (await usage(api))["losses"] == {"lost": 11, "times_away": 0}


async def test_what_is_not_counted_yet_is_said_where_it_matters(api: Api) -> None:
    def older(connection: Connection) -> None:
        connection.execute(text("DELETE FROM usage_state"))
        connection.execute(text("INSERT INTO usage_state (id, ended, uncounted) VALUES (1, 0, :at)"), {"at": identity(NOW - DAY)})

    api.store.transact(older)
    assert (await usage(api, since="2d"))["uncounted_before"] == "2025-11-21T08:26:40Z"
    assert "uncounted_before" not in await usage(api, since="20h")


@pytest.mark.parametrize(
    "parameters",
    [
        {"group_by": "colour"}, {"group_by": "model,model"}, {"group_by": "hour,day"}, {"group_by": 'annotation:a"b'}, {"group_by": ""},
        {"annotation": "team"}, {"since": "yesterday"}, {"limit": 0}, {"unknown": "1"},
    ],
)  # fmt: skip
async def test_what_cannot_be_understood_is_refused(api: Api, parameters: dict[str, str | int]) -> None:
    assert (await api.get("/v1/usage", **parameters)).status_code == 400


@pytest.mark.parametrize(
    ("found", "calls"),
    [
        (Reach(namespaces=frozenset(["prod"])), 2),
        (Reach(consumers=frozenset(["c1"])), 2),
        (Reach(frozenset() != frozenset(), frozenset(["prod"]), frozenset(["c1"])), 3),
        (Reach(), 0),
    ],
)
async def test_what_one_may_not_see_is_in_no_sum(api: Api, monkeypatch: pytest.MonkeyPatch, found: Reach, calls: int) -> None:
    def of(request: Request) -> Looker:
        del request
        return Looker(NOBODY, {Right.USAGE: found})

    monkeypatch.setattr(looking, "looker", of)
    await fill(api, told(1, consumer="c1"), told(2, consumer="c2"), told(3, namespace="test", consumer="c1"), told(4, namespace="test"))
    api.store.ledger(window(NOW, "a", received=5, missing=2))
    page = await usage(api, group_by="namespace,consumer")
    assert page["totals"]["calls"] == sum(item["calls"] for item in page["items"]) == calls
    assert page.get("losses", {}).get("lost") == (2 if found.namespaces else None)


async def test_folded_sums_are_nobodys_whose_namespace_or_consumer_is_called_other(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """`other` stands there for names of anybody."""
    folded = dict.fromkeys(("service", "model", "consumer", "user", "caller", "protocol"), "other")
    api.store.usage(NOW, 2, calls=3, output=7, namespace="other", **folded)
    api.store.usage(NOW, 1, calls=5, output=9, namespace="prod", **folded)
    for covered, calls in ((Reach(namespaces=frozenset({"other"})), 0), (Reach(consumers=frozenset({"other"})), 0), (Reach(True), 8)):

        def found(_: Request, covered: Reach = covered) -> Looker:
            return Looker(NOBODY, {Right.USAGE: covered})

        monkeypatch.setattr(looking, "looker", found)
        assert (await usage(api))["totals"]["calls"] == calls


async def test_losses_beyond_64_bits_are_told_and_no_fault(api: Api) -> None:
    api.store.ledger(*(window(NOW - number * MINUTE, "a", missing=(1 << 63) - 1) for number in range(2)))
    assert (await usage(api, since="2h"))["losses"]["lost"] == (1 << 63) - 1
