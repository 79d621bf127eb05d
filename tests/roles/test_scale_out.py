"""Processes of the roles together on a real broker: what was acknowledged is there once, whoever comes and goes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.support.cluster import Cluster, Member, exactly_once
from tests.support.proxies import Proxies
from tests.support.waits import until

Made = Callable[..., Cluster]
SECONDS = 120.0  # a failure's, not the test's: six processes and a broker may share one processor with others


def started(*members: Member) -> None:
    """All at the same time: most of a start is imports."""
    for member in members:
        member.launch()
    assert until(lambda: all(member.ready for member in members), bool, SECONDS), [member.process.tail() for member in members]


def traffic(receive: Member, rate: float = 100.0) -> Proxies:
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
    wait_for(proxies, 150)
    started(second, third)
    assert until(lambda: cluster.owned([first, second, third]), bool, SECONDS), cluster.owners([first, second, third])
    wait_for(proxies, 150)
    second.process.stop()
    assert until(lambda: cluster.owned([first, third]), bool, SECONDS), cluster.owners([first, third])
    wait_for(proxies, 150)
    proxies.end()
    exactly_once(cluster, proxies.acknowledged, SECONDS)


def test_one_is_killed_and_one_is_stopped_and_the_third_does_the_work_of_all(make_cluster: Made) -> None:
    """What was killed is replayed; what was stopped wakes up, is fenced, writes nothing more for what it lost, and takes its part again."""
    cluster = make_cluster(partitions=6)
    receive = cluster.member("receive", "receive")
    killed, zombie, heir = (cluster.member(name, "process") for name in ("killed", "zombie", "heir"))
    started(receive, killed, zombie, heir)
    assert until(lambda: cluster.owned([killed, zombie, heir]), bool, SECONDS), cluster.owners([killed, zombie, heir])
    proxies = traffic(receive)
    wait_for(proxies, 200)
    assert until(lambda: cluster.events().requests.total(), bool, SECONDS), "there is something to replay"
    killed.process.kill()
    zombie.process.send(signal.SIGSTOP)
    assert until(lambda: cluster.owned([heir]), bool, SECONDS), cluster.owners([heir])
    wait_for(proxies, 150)
    zombie.process.send(signal.SIGCONT)
    killed.launch()
    wait_for(proxies, 150)
    assert until(lambda: cluster.owned([killed, zombie, heir]), bool, SECONDS), cluster.owners([killed, zombie, heir])
    proxies.end()
    exactly_once(cluster, proxies.acknowledged, SECONDS)


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
    assert f'meshscribe_partition_lost{{partition="1",topic="{topic}"}} 0.0' in process.metrics()


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
    wait_for(proxies, 100)
    store.process.kill()
    wait_for(proxies, 100)
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
