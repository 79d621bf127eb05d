"""Whatever a browser sends as host, cookie or path: no crash, nothing taken that is not ours, nowhere led to but to us."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.access import sessions
from collector.access.attempts import Attempts
from collector.access.looker import Person
from collector.access.origin import cookies, local, origin_of
from collector.access.proof import Bearers, NotProvenError
from collector.access.sessions import Sessions
from collector.settings.access import is_loopback
from tests.support.clocks import TurnedClock

URL = "https://audit.example.org"
PATHS = st.text(max_size=60) | st.text("/\\.:@#?%\t\n evilorg-", max_size=30)


@given(PATHS)
@example("/\t//evil.org")
@example("/%2F/evil.org")
@example("///evil.org")
def test_a_path_leads_to_us(path: str) -> None:
    found = urlsplit(urljoin(f"{URL}/login", local(path)))
    assert f"{found.scheme}://{found.netloc}" == URL


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9.\[\]:@]{0,30}", fullmatch=True))
@example("127.0.0.1@evil.org")
@example("evil.org#127.0.0.1")
@example("127.0.0.1:80:80")
@example("[::1")
@example("localhost/../evil")
@example("127.0.0.1\\evil.org")
def test_a_host_is_the_set_one_or_this_machine(host: str) -> None:
    found = origin_of(host, URL)
    if found is not None:
        assert found.base == URL or is_loopback(urlsplit(found.base).hostname or "")
        assert urlsplit(found.base).path == ""
        assert found.secure == (found.base == URL)


@pytest.mark.parametrize("host", ["audit.example.org", "AUDIT.example.org", "audit.example.org:443"])
def test_the_set_name_is_known_however_it_is_written(host: str) -> None:
    assert origin_of(host, URL) == (URL, True)
    assert origin_of(f"{host}.evil.org", URL) is None


@given(st.text(max_size=200))
def test_a_cookie_that_we_did_not_make_begins_no_login(text: str) -> None:
    attempts = Attempts(TurnedClock())
    good = attempts.begin("/docs").cookie
    assert attempts.find(good).next == "/docs"
    for cookie in (text, f"{text}.{good}", f"{good}{text or 'x'}", good[:-1], f"{text}.1.L2RvY3M.{good.rpartition('.')[2]}"):
        with pytest.raises(NotProvenError):
            attempts.find(cookie)
    with pytest.raises(NotProvenError):
        Attempts(TurnedClock()).find(good)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_cookie_header_is_read(values: list[str]) -> None:
    cookies(values, "__Host-meshscribe")


async def test_sessions_of_all_together_are_bounded() -> None:
    clock = TurnedClock()
    made = Sessions(Bearers(), clock, 60.0)
    first = made.begin(Person("first", "oidc"))
    for number in range(sessions.MAX_SESSIONS):
        made._all[str(number).encode()] = sessions.Session(Person(str(number), "oidc"), clock.monotonic_us() + 60_000_000)
    last = made.begin(Person("last", "oidc"))
    assert len(made._all) == sessions.MAX_SESSIONS
    assert await made.find(first) is None
    assert await made.find(last) is not None
    clock.now += 60_000_000
    made.begin(Person("later", "oidc"))
    assert len(made._all) == 1
