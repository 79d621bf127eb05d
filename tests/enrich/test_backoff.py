from __future__ import annotations

from collector.retry import Backoff


def test_waits_double_up_to_the_cap_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 0.999999)
    assert [round(backoff.next_s()) for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert round(backoff.next_s()) == 1


def test_waits_are_jittered_between_half_and_all() -> None:
    assert Backoff(2.0, 8.0, lambda: 0.0).next_s() == 1.0
    assert Backoff(2.0, 8.0, lambda: 0.5).next_s() == 1.5


def test_what_the_server_asks_for_is_heeded_up_to_a_cap() -> None:
    backoff = Backoff(0.1, 1.0, lambda: 0.0)
    assert backoff.next_s(3.0) == 3.0
    assert backoff.next_s(3600.0) == 10.0


def test_endless_failures_do_not_overflow() -> None:
    backoff = Backoff(0.1, 8.0, lambda: 0.0)
    assert [backoff.next_s() for _ in range(5000)][-1] == 4.0
