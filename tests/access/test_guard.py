"""Nobody gets past who has not proven who he is, and no answer tells what was wrong with a proof."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from collector.access.static_tokens import line, new_token, read
from collector.errors import BadInputError, SettingsError
from collector.settings import Access, MeshLogin
from tests.access.conftest import PAGE, Doors

BILLING = "spiffe://cluster.local/ns/billing/sa/job"


def tokens_file(folder: Path, *lines: str) -> Path:
    file = folder / "tokens"
    file.write_text("\n".join(["# who may look", "", *lines]), encoding="utf-8")
    return file


async def test_who_shows_nothing_is_asked(door: Doors, tmp_path: Path) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path)))
    answer = await made.knock()
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="meshscribe"')
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:meshscribe:problem:unauthenticated"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/v1/exchanges/x", "/v1/ledger", "/v1/services", "/docs", "/openapi.json", "/nowhere", "/login/", "//login"]
)
async def test_everything_but_probes_and_the_login_needs_a_proof(door: Doors, tmp_path: Path, path: str) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path)))
    assert (await made.knock(path=path)).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz/ingest", "/metrics", "/login", "/login/ways", "/assets/style.css"])
async def test_probes_and_the_login_need_none(door: Doors, tmp_path: Path, path: str) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path)))
    assert (await made.knock(path=path)).status_code in (200, 503)  # this process has no ingest listeners


async def test_a_browser_is_led_to_the_login_and_back(door: Doors, tmp_path: Path) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path)))
    answer = await made.knock(path=f"{PAGE}?limit=5&path=%2F%2Fevil", accept="text/html,*/*;q=0.8")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/docs%3Flimit%3D5%26path%3D%252F%252Fevil"


async def test_a_static_token_opens(door: Doors, tmp_path: Path) -> None:
    token = new_token()
    made = await door(Access(tokens_file=tokens_file(tmp_path, line("job", token, ("billing",)))))
    assert (await made.knock(token)).status_code == 200
    assert (await made.client.get(PAGE, headers={"authorization": f"bearer {token} "})).status_code == 200


async def test_a_wrong_token_is_refused_and_named_nowhere(door: Doors, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path, line("job", new_token()))))
    wrong = new_token()
    with caplog.at_level(logging.DEBUG):
        answers = [await made.knock(wrong) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {401}
    assert 'error="invalid_token"' in answers[0].headers["www-authenticate"]
    assert "not in access.tokens_file" not in answers[0].text
    told = [found.getMessage() for found in caplog.records if found.name == "meshscribe.access" and "refused" in found.getMessage()]
    assert told == ["refused 127.0.0.1, who proves nobody: the static token is not in access.tokens_file"]
    assert wrong not in caplog.text


@pytest.mark.parametrize(
    "shown", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Token x", "", "Bearer " + "x" * 20_000, "Bearer \xff\xfe", "Bearer a b"]
)
async def test_what_is_no_token_is_refused_as_one(door: Doors, tmp_path: Path, shown: str) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path)))
    answer = await made.client.get(PAGE, headers={"authorization": shown.encode("latin-1")})
    assert answer.status_code == 401


async def test_two_tokens_are_none(door: Doors, tmp_path: Path) -> None:
    token = new_token()
    made = await door(Access(tokens_file=tokens_file(tmp_path, line("job", token))))
    answer = await made.client.get(PAGE, headers=[("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")])
    assert answer.status_code == 401


async def test_the_file_is_read_anew_when_it_changes(door: Doors, tmp_path: Path) -> None:
    first, second = new_token(), new_token()
    file = tokens_file(tmp_path, line("job", first))
    made = await door(Access(tokens_file=file))
    file.write_text(line("job", second) + "\n", encoding="utf-8")
    os.utime(file, (1, 1))
    made.clock.now += 2_000_000
    assert [(await made.knock(token)).status_code for token in (first, second)] == [401, 200]
    file.unlink()
    made.clock.now += 2_000_000
    assert (await made.knock(second)).status_code == 401
    parts = made.opened.components()
    assert [(part.name, part.ok) for part in parts] == [("access/tokens", False)]


async def test_a_file_that_is_being_spoilt_leaves_those_that_were_known(door: Doors, tmp_path: Path) -> None:
    token = new_token()
    file = tokens_file(tmp_path, line("job", token))
    made = await door(Access(tokens_file=file))
    file.write_text("half a li", encoding="utf-8")
    made.clock.now += 2_000_000
    assert (await made.knock(token)).status_code == 200
    assert "line 1 is not NAME SHA256" in made.opened.components()[0].detail


@pytest.mark.parametrize("text", ["job", "job abc", "job " + "g" * 64, "a b c d", f"one {'0' * 64}\ntwo {'0' * 64}"])
def test_a_line_that_is_none_spoils_the_file(text: str) -> None:
    with pytest.raises(BadInputError):
        read(text)


async def test_a_spoilt_file_is_a_fault_at_start(door: Doors, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"access\.tokens_file"):
        await door(Access(tokens_file=tokens_file(tmp_path, "half")))


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"By=x;Hash=y;URI={BILLING}", 200),
        (f"By=x;URI=spiffe://cluster.local/ns/evil/sa/x,By=y;URI={BILLING}", 200),
        (f"By=x;URI={BILLING},By=y;URI=spiffe://cluster.local/ns/evil/sa/x", 401),
        ("By=x;URI=spiffe://cluster.local/ns/billing/sa/other", 401),
        (f'By=x;Subject="a,URI={BILLING}";URI=spiffe://cluster.local/ns/evil/sa/x', 401),
        ("By=x;URI=spiffe://cluster.local/ns/jobs/sa/any", 200),
        ("By=x;URI=spiffe://cluster.local/ns/jobs-evil/sa/any", 401),
        ("rubbish", 401),
    ],
)
async def test_the_mesh_s_word_is_the_last_element_alone(door: Doors, header: str, status: int) -> None:
    made = await door(Access(mesh=MeshLogin(principals=[BILLING, "spiffe://cluster.local/ns/jobs/sa/*"])))
    assert (await made.knock(x_forwarded_client_cert=header)).status_code == status


async def test_a_bad_token_is_not_made_good_by_the_mesh(door: Doors, tmp_path: Path) -> None:
    made = await door(Access(mesh=MeshLogin(principals=[BILLING]), tokens_file=tokens_file(tmp_path)))
    assert (await made.knock("wrong", x_forwarded_client_cert=f"URI={BILLING}")).status_code == 401


async def test_without_the_setting_the_mesh_s_header_proves_nobody(door: Doors, tmp_path: Path) -> None:
    made = await door(Access(tokens_file=tokens_file(tmp_path)))
    assert (await made.knock(x_forwarded_client_cert=f"URI={BILLING}")).status_code == 401


async def test_open_is_said_in_every_answer_in_the_log_and_to_whom_asks_for_health(door: Doors, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        made = await door(Access(open=True))
    answers = [await made.knock(path=path) for path in (PAGE, "/healthz", "/nowhere", "/v1/exchanges?bad=1")]
    assert [answer.headers.get("meshscribe-access") for answer in answers] == ["open"] * 4
    assert answers[0].status_code == 200
    assert made.opened.components()[0].detail == "anybody who reaches the audit port sees all (access.open: true)"
    assert "access.open: true" in caplog.text


async def test_on_loopback_without_settings_nobody_is_asked_and_the_log_says_so(door: Doors, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        made = await door(Access())
    answer = await made.knock()
    assert (answer.status_code, answer.headers.get("meshscribe-access")) == (200, None)
    assert caplog.text.count("nobody is asked who he is") == 1
    assert (await made.knock(path="/login")).status_code == 404


async def test_the_good_file_put_back_as_it_was_is_no_fault(door: Doors, tmp_path: Path) -> None:
    token = new_token()
    file = tokens_file(tmp_path, line("job", token))
    made = await door(Access(tokens_file=file))
    kept = file.rename(tmp_path / "kept")
    file.write_text("half a li", encoding="utf-8")
    made.clock.now += 2_000_000
    await made.knock("other")
    assert not made.opened.components()[0].ok
    kept.replace(file)
    made.clock.now += 2_000_000
    await made.knock("other")
    assert made.opened.components()[0].ok
