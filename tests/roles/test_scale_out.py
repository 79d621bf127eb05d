"""Processes of the roles together on a real broker: what was acknowledged is there once, whoever comes and goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.rig import until
from tests.support.cluster import Cluster, Member, exactly_once
from tests.support.proxies import Proxies

pytestmark = pytest.mark.soak  # minutes on a busy machine, and not steady there yet

Made = Callable[..., Cluster]
SECONDS = 60.0


def started(*members: Member) -> None:
    for member in members:
        member.start()
    until(lambda: all(member.ready for member in members), bool, SECONDS)


def traffic(receive: Member, rate: float = 200.0) -> Proxies:
    proxies = Proxies(receive.ingest_port, receive.grpc_port, count=8, rate=rate)
    proxies.start()
    return proxies


def wait_for(proxies: Proxies, more: int) -> None:
    """Until so many more exchanges are acknowledged."""
    goal = len(proxies.acknowledged) + more
    assert until(lambda: len(proxies.acknowledged), lambda count: count >= goal, SECONDS) >= goal


def test_processes_come_and_go_and_nothing_is_lost_or_twice(make_cluster: Made) -> None:
    cluster = make_cluster(partitions=6)
    receive = cluster.member("receive", "receive")
    first, second, third = (cluster.member(name, "process") for name in ("first", "second", "third"))
    started(receive, first)
    proxies = traffic(receive)
    wait_for(proxies, 300)
    started(second, third)
    assert until(lambda: cluster.owned([first, second, third]), bool, SECONDS), cluster.owners([first, second, third])
    wait_for(proxies, 300)
    second.process.stop()
    assert until(lambda: cluster.owned([first, third]), bool, SECONDS), cluster.owners([first, third])
    wait_for(proxies, 300)
    proxies.end()
    exactly_once(cluster, proxies.acknowledged)


def test_a_killed_process_is_replaced_and_its_work_is_replayed(make_cluster: Made) -> None:
    cluster = make_cluster()
    receive, first, second = (cluster.member(name, role) for name, role in (("r", "receive"), ("first", "process"), ("second", "process")))
    started(receive, first, second)
    assert until(lambda: cluster.owned([first, second]), bool, SECONDS)
    proxies = traffic(receive)
    wait_for(proxies, 600)
    until(lambda: cluster.events().requests.total(), lambda total: total > 0, SECONDS)
    first.process.kill()
    wait_for(proxies, 300)
    assert until(lambda: cluster.owned([second]), bool, SECONDS), cluster.owners([second])
    first.start()
    proxies.end()
    exactly_once(cluster, proxies.acknowledged)


def test_a_stopped_process_that_wakes_up_writes_nothing_more_for_what_it_lost(make_cluster: Made) -> None:
    cluster = make_cluster()
    receive, zombie, heir = (cluster.member(name, role) for name, role in (("r", "receive"), ("zombie", "process"), ("heir", "process")))
    started(receive, zombie)
    assert until(lambda: cluster.owned([zombie]), bool, SECONDS)
    proxies = traffic(receive)
    wait_for(proxies, 300)
    zombie.process.send(signal.SIGSTOP)
    heir.start()
    assert until(lambda: cluster.owned([heir]), bool, SECONDS), cluster.owners([heir])
    wait_for(proxies, 300)
    zombie.process.send(signal.SIGCONT)
    assert until(lambda: cluster.owned([heir, zombie]), bool, SECONDS), cluster.owners([heir, zombie])
    wait_for(proxies, 300)
    proxies.end()
    exactly_once(cluster, proxies.acknowledged)


def test_readiness_tells_the_lag_of_each_partition_and_metrics_have_it(make_cluster: Made) -> None:
    cluster = make_cluster(partitions=2)
    receive, process = cluster.member("receive", "receive"), cluster.member("process", "process")
    started(receive, process)
    proxies = traffic(receive)
    wait_for(proxies, 50)
    proxies.end()
    topic = cluster.settings.raw_topic
    parts = until(process.components, lambda found: found[f"{topic}/0"]["detail"] == found[f"{topic}/1"]["detail"] == "lag 0", SECONDS)
    assert parts[f"{topic}/0"] == {"name": f"{topic}/0", "ok": True, "detail": "lag 0"}
    assert f'meshscribe_partition_lag{{partition="1",topic="{topic}"}} 0.0' in process.metrics()


def test_one_process_may_receive_and_process_on_kafka(make_cluster: Made) -> None:
    cluster = make_cluster(partitions=2)
    both = cluster.member("both", "all", MESHSCRIBE_JOURNAL__URL="kafka:")
    started(both)
    proxies = traffic(both)
    wait_for(proxies, 200)
    proxies.end()
    exactly_once(cluster, proxies.acknowledged)


def test_the_store_holds_what_the_topics_hold_and_the_audit_api_answers_from_it(make_cluster: Made) -> None:
    cluster = make_cluster(partitions=2)
    url = {"MESHSCRIBE_SINK__URL": cluster.sqlite()}
    receive, process = cluster.member("receive", "receive"), cluster.member("process", "process")
    store, audit = cluster.member("store", "store", **url), cluster.member("audit", "audit", **url)
    started(receive, process, store, audit)
    proxies = traffic(receive)
    wait_for(proxies, 200)
    store.process.kill()
    wait_for(proxies, 200)
    store.start()
    proxies.end()
    events = exactly_once(cluster, proxies.acknowledged)
    stored = until(lambda: audit.count("/v1/exchanges"), lambda count: count == len(proxies.acknowledged), SECONDS)
    assert stored == events.requests.total() == len(proxies.acknowledged)


def test_a_receiver_refuses_to_start_where_its_largest_batch_does_not_fit(make_cluster: Made) -> None:
    cluster = make_cluster(raw_record_bytes=1_000_000)
    receive = cluster.member("receive", "receive")
    receive.process.start(lambda: "ingest.max_batch_bytes" in receive.process.tail())
    assert "lower it to" in receive.process.tail()
    deadline = time.monotonic() + SECONDS
    while receive.process.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not receive.process.running
