"""A browser's login: only who began it ends it, its cookie is nobody else's, and no other site acts with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.access.sessions import MAX_EACH
from collector.access.static_tokens import line, new_token
from collector.clock import SystemClock
from collector.settings import Access, Oidc
from tests.access.authlib_provider import running
from tests.access.browsers import SAME, Browser
from tests.access.conftest import PAGE, Door, Doors
from tests.access.signing import AUDIENCE, ScriptedProvider

URL = "https://audit.example.org"


def by_provider(provider: ScriptedProvider, **more: Any) -> Access:
    return Access(url=URL, oidc=Oidc(issuer=provider.issuer, audience=AUDIENCE, client_id="web", **more))


@pytest.fixture
async def door_with_provider(door: Doors, provider: ScriptedProvider) -> Door:
    made = await door(by_provider(provider), URL)
    provider.now = lambda: made.clock.now_us() / 1e6
    return made


@pytest.fixture
def token() -> str:
    return new_token()


@pytest.fixture
def by_token(tmp_path: Path, token: str) -> Access:
    file = tmp_path / "tokens"
    file.write_text(line("job", token) + "\n", encoding="utf-8")
    return Access(url=URL, tokens_file=file)


def set_cookies(answer: httpx.Response) -> dict[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in answer.headers.get_list("set-cookie")}


async def test_the_provider_s_word_opens_and_leads_back(door_with_provider: Door, provider: ScriptedProvider) -> None:
    browser = Browser(door_with_provider)
    assert await browser.look() == 401
    answer = await browser.back(provider.authorize(await browser.to_provider(next="/v1/exchanges?limit=3")))
    assert (answer.status_code, answer.headers["location"]) == (303, "/v1/exchanges?limit=3")
    cookie = set_cookies(answer)["__Host-meshscribe"]
    assert {"Path=/", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=28800"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert await browser.look() == 200


async def test_a_code_is_good_once(door_with_provider: Door, provider: ScriptedProvider) -> None:
    browser = Browser(door_with_provider)
    url = await browser.to_provider()
    kept = browser.client.cookies["__Host-meshscribe-login"]
    answer = provider.authorize(url)
    assert (await browser.back(answer)).status_code == 303
    browser.client.cookies.clear()
    browser.client.cookies.set("__Host-meshscribe-login", kept, domain="audit.example.org")
    assert (await browser.back(answer)).status_code == 403


@pytest.mark.parametrize("change", [{"state": "other"}, {"state": ""}, {"iss": "https://evil.example.org"}, {"code": "guessed"}])
async def test_an_answer_that_was_changed_opens_nothing(
    door_with_provider: Door, provider: ScriptedProvider, change: dict[str, str]
) -> None:
    browser = Browser(door_with_provider)
    answer = provider.authorize(await browser.to_provider()) | change
    refusal = await browser.back(answer)
    assert refusal.status_code == 403
    assert "__Host-meshscribe" not in set_cookies(refusal)
    assert await browser.look() == 401


async def test_another_browser_s_answer_opens_nothing(door_with_provider: Door, provider: ScriptedProvider) -> None:
    """An attacker sends his victim the link with his own code: the victim would work under the attacker's name."""
    attacker, victim = Browser(door_with_provider), Browser(door_with_provider)
    answer = provider.authorize(await attacker.to_provider())
    victim.client.cookies.clear()
    assert (await victim.back(answer)).status_code == 403
    await victim.to_provider()
    assert (await victim.back(answer)).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "other"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": AUDIENCE},
        {"iss": "https://evil.example.org"},
        {"exp": 1},
        {"azp": "another-client"},
        {"sub": None},
    ],
)
async def test_an_identity_token_for_something_else_opens_nothing(
    door_with_provider: Door, provider: ScriptedProvider, claims: dict[str, Any]
) -> None:
    browser = Browser(door_with_provider)
    assert (await browser.back(provider.authorize(await browser.to_provider(), **claims))).status_code == 403
    assert await browser.look() == 401


async def test_who_says_no_at_the_provider_is_told_so(door_with_provider: Door, provider: ScriptedProvider) -> None:
    browser = Browser(door_with_provider)
    state = provider.authorize(await browser.to_provider())["state"]
    answer = await browser.back({"error": "access_denied", "error_description": "<script>", "state": state})
    assert answer.status_code == 403
    assert "<script>" not in answer.text


async def test_a_login_that_takes_too_long_is_begun_again(door_with_provider: Door, provider: ScriptedProvider) -> None:
    browser = Browser(door_with_provider)
    answer = provider.authorize(await browser.to_provider())
    door_with_provider.clock.now += 601_000_000
    assert (await browser.back(answer)).status_code == 403


async def test_a_provider_that_is_away_is_said_and_nothing_is_lost(door_with_provider: Door, provider: ScriptedProvider) -> None:
    browser = Browser(door_with_provider)
    url = await browser.to_provider()
    provider.answers = False
    assert (await browser.back(provider.authorize(url))).status_code == 503


async def test_a_confidential_client_says_its_secret(door: Doors, provider: ScriptedProvider, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")
    made = await door(by_provider(provider, client_secret_file=tmp_path / "secret"), URL)
    provider.now = lambda: made.clock.now_us() / 1e6
    browser = Browser(made)
    assert (await browser.back(provider.authorize(await browser.to_provider()))).status_code == 303


async def test_a_pasted_token_opens_as_long_as_it_holds(door: Doors, by_token: Access, token: str) -> None:
    made = await door(by_token, URL)
    browser = Browser(made)
    answer = await browser.paste(token, await browser.form(next="/docs"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")
    assert token not in str(answer.headers)
    assert await browser.look() == 200
    assert by_token.tokens_file is not None
    by_token.tokens_file.write_text("# nobody any more\n", encoding="utf-8")
    made.clock.now += 2_000_000
    assert await browser.look() == 401


async def test_a_session_ends_with_its_time(door: Doors, by_token: Access, token: str) -> None:
    made = await door(by_token, URL)
    browser = Browser(made)
    await browser.paste(token, await browser.form())
    made.clock.now += int(by_token.session_seconds * 1e6)
    assert await browser.look() == 401


async def test_a_login_gives_a_new_cookie_and_ends_the_old_session(door: Doors, by_token: Access, token: str) -> None:
    """Session fixation: what somebody put into the browser before the login is worth nothing after it."""
    made = await door(by_token, URL)
    browser = Browser(made)
    browser.client.cookies.set("__Host-meshscribe", "fixed-by-an-attacker", domain="audit.example.org")
    form = await browser.form()
    first = set_cookies(await browser.paste(token, form))["__Host-meshscribe"].split(";")[0]
    assert first != "fixed-by-an-attacker"
    assert (await made.client.get(PAGE, headers={"cookie": "__Host-meshscribe=fixed-by-an-attacker"})).status_code == 401
    browser.client.cookies.delete("__Host-meshscribe", domain="audit.example.org", path="/")
    browser.client.cookies.set("__Host-meshscribe", first, domain="audit.example.org")
    before = made.client.cookies["__Host-meshscribe"]
    browser.client.cookies.delete("__Host-meshscribe")
    form = await browser.form()
    browser.client.cookies.set("__Host-meshscribe", before, domain="audit.example.org")
    await browser.paste(token, form)
    made.client.cookies.clear()
    assert (await made.client.get(PAGE, headers={"cookie": f"__Host-meshscribe={before}"})).status_code == 401


async def test_a_sibling_host_s_cookie_is_not_taken(door: Doors, by_token: Access, token: str) -> None:
    """evil.example.org can set cookies for example.org: never one that begins with __Host-, and another name is not looked at."""
    made = await door(by_token, URL)
    browser = Browser(made)
    cookie = set_cookies(await browser.paste(token, await browser.form()))["__Host-meshscribe"].split(";")[0]
    made.client.cookies.clear()
    for sent in (f"meshscribe-session={cookie}", f"__Host-meshscribe={cookie}; __Host-meshscribe=evil", f"__host-meshscribe={cookie}"):
        assert (await made.client.get(PAGE, headers={"cookie": sent})).status_code == 401
    assert (await made.client.get(PAGE, headers={"cookie": f"__Host-meshscribe={cookie}"})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site", "origin": "https://evil.example.org"},
        {"sec_fetch_site": "same-site", "origin": "https://evil.example.org"},
        {"sec_fetch_site": "none"},
        {"origin": "https://evil.example.org"},
        {"origin": "https://audit.example.org.evil.org"},
        {"origin": "http://audit.example.org"},
        {"origin": "null"},
        {"user_agent": "says nothing of where it comes from"},
    ],
)
async def test_another_site_s_form_changes_nothing(door: Doors, by_token: Access, token: str, headers: dict[str, str]) -> None:
    browser = Browser(await door(by_token, URL))
    form = await browser.form()
    assert (await browser.paste(token, form, **headers)).status_code == 403
    assert await browser.look() == 401


async def test_an_old_browser_says_in_origin_where_it_comes_from(door: Doors, by_token: Access, token: str) -> None:
    browser = Browser(await door(by_token, URL))
    assert (await browser.paste(token, await browser.form(), origin=URL)).status_code == 303


@pytest.mark.parametrize("form", ["", "guessed", "\ud800".encode("utf-8", "replace").decode()])
async def test_a_form_needs_what_our_page_put_into_it(door: Doors, by_token: Access, token: str, form: str) -> None:
    browser = Browser(await door(by_token, URL))
    await browser.form()
    assert (await browser.paste(token, form)).status_code == 403


async def test_a_form_belongs_to_the_browser_that_was_shown_it(door: Doors, by_token: Access, token: str) -> None:
    made = await door(by_token, URL)
    attacker = await Browser(made).form()
    made.client.cookies.clear()
    browser = Browser(made)
    assert (await browser.paste(token, attacker)).status_code == 403
    await browser.form()
    assert (await browser.paste(token, attacker)).status_code == 403


async def test_another_site_neither_reads_nor_looks_with_the_cookie(door: Doors, by_token: Access, token: str) -> None:
    browser = Browser(await door(by_token, URL))
    await browser.paste(token, await browser.form())
    assert await browser.look(sec_fetch_site="same-site", sec_fetch_mode="no-cors") == 401
    assert await browser.look(sec_fetch_site="cross-site", sec_fetch_mode="cors") == 401
    assert await browser.look(sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200  # a link that somebody follows
    assert await browser.look(sec_fetch_site="same-origin", sec_fetch_mode="cors") == 200


async def test_a_logout_ends_the_session_for_good_and_only_from_our_page(door: Doors, by_token: Access, token: str) -> None:
    made = await door(by_token, URL)
    browser = Browser(made)
    await browser.paste(token, await browser.form())
    cookie = made.client.cookies["__Host-meshscribe"]
    form = await browser.form()
    assert (await made.client.post("/logout", data={"form": "guessed"}, headers=SAME)).status_code == 403
    assert (await made.client.post("/logout", data={"form": form}, headers={"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await made.client.get("/logout")).status_code == 405
    assert await browser.look() == 200
    answer = await made.client.post("/logout", data={"form": form}, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    made.client.cookies.clear()
    assert (await made.client.get(PAGE, headers={"cookie": f"__Host-meshscribe={cookie}"})).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example.org",
        "//evil.example.org",
        "/\\evil.example.org",
        "/\t/evil.example.org",
        "\\\\evil.example.org",
        "/a\\b",
        "javascript:alert(1)",
        "evil",
        "",
        "/\r\nSet-Cookie: a=b",
        "/login",
        "/logout",
        "/" + "x" * 3000,
        "/ä",
    ],
)
async def test_a_login_leads_to_a_path_of_ours_only(door: Doors, by_token: Access, token: str, path: str) -> None:
    browser = Browser(await door(by_token, URL))
    answer = await browser.paste(token, await browser.form(next=path))
    assert (answer.status_code, answer.headers["location"]) == (303, "/docs")


@pytest.mark.parametrize(
    ("base", "works"),
    [
        ("http://127.0.0.1:8081", True),
        ("http://localhost:9000", True),
        ("http://[::1]:8081", True),
        ("http://10.1.2.3:8081", False),
        ("http://meshscribe-audit:8081", False),
    ],
)
async def test_without_tls_a_browser_logs_in_on_its_own_machine_only(
    door: Doors, by_token: Access, token: str, base: str, works: bool
) -> None:
    made = await door(by_token, base)
    page = await made.client.get("/login")
    assert ("Paste a token" in page.text) == works
    assert ("A browser cannot log in under this name" in page.text) != works
    if works:
        browser = Browser(made)
        answer = await browser.paste(token, await browser.form())
        cookie = set_cookies(answer)["meshscribe-session"]
        assert "HttpOnly" in cookie
        assert "Secure" not in cookie
        assert await browser.look() == 200
        assert await made.client.get(f"{base}{PAGE}", headers={"cookie": cookie.replace("meshscribe-session", "__Host-meshscribe")})


async def test_the_page_runs_no_script_and_is_framed_by_nobody(door: Doors, by_token: Access) -> None:
    page = await (await door(by_token, URL)).client.get("/login", params={"next": '"><script>alert(1)</script>'})
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} <= set(policy.split("; "))
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_what_is_no_form_of_ours_is_refused(door: Doors, by_token: Access) -> None:
    made = await door(by_token, URL)
    assert (await made.client.post("/login/token", content=b"x" * 100_000, headers=SAME)).status_code == 413
    assert (await made.client.post("/login/token", content=b"a=1&" * 1000, headers=SAME)).status_code == 400
    assert (await made.client.post("/login/token", content=b"\xff\x00", headers=SAME)).status_code == 403
    assert (await made.client.get("/login/token")).status_code == 405


async def test_sessions_of_one_person_are_so_many_and_no_more(door: Doors, by_token: Access, token: str) -> None:
    made = await door(by_token, URL)
    cookies = []
    for _ in range(MAX_EACH + 1):
        made.client.cookies.clear()
        browser = Browser(made)
        await browser.paste(token, await browser.form())
        cookies.append(made.client.cookies["__Host-meshscribe"])
    made.client.cookies.clear()
    seen = [(await made.client.get(PAGE, headers={"cookie": f"__Host-meshscribe={cookie}"})).status_code for cookie in cookies]
    assert seen == [401, *[200] * MAX_EACH]


async def test_how_the_command_line_may_log_in_is_told_without_secrets(door_with_provider: Door, provider: ScriptedProvider) -> None:
    answer = await door_with_provider.client.get("/login/ways")
    assert answer.json() == {
        "oidc": {"issuer": provider.issuer, "client_id": "web", "audience": AUDIENCE, "scopes": ["openid", "profile", "email"]}
    }


@pytest.fixture
def real_provider() -> Iterator[str]:
    with running() as url:
        yield url


@pytest.mark.slow
async def test_a_provider_that_is_not_ours_logs_a_browser_in(door: Doors, real_provider: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("any", encoding="utf-8")
    oidc = Oidc(issuer=real_provider, audience="web", client_id="web", client_secret_file=tmp_path / "secret")
    made = await door(Access(oidc=oidc), "http://localhost:8081")
    made.clock.step(SystemClock().now_us() - made.clock.now_us())
    browser = Browser(made)
    url = await browser.to_provider(next="/v1/ledger")
    async with httpx.AsyncClient() as elsewhere:
        claims = {"groups": ["auditors"], "name": "Alice"}
        await elsewhere.put(f"{real_provider}/users/alice", json=claims)
        agreed = await elsewhere.post(url, data={"sub": "alice"})
    back = httpx.URL(agreed.headers["location"])
    assert str(back.copy_with(query=None)) == "http://localhost:8081/login/callback"
    answer = await browser.back(dict(back.params))
    assert (answer.status_code, answer.headers["location"]) == (303, "/v1/ledger")
    assert await browser.look() == 200
    page = await browser.page()
    assert "You are logged in as <strong>alice</strong>" in page.text
