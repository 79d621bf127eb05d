"""A line of filters says the same as the parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.audit.grammar import JOINED, parameters, written
from tests.audit.conftest import Api
from tests.audit.test_marks import filled

KNOWN = ("service", "status", "tokens", "user", "annotation")


def test_a_line_is_its_filters() -> None:
    line = '  service:llama status:5xx tokens:>4000 user:"Ann \\"A\\" Lee" annotation:team=a annotation:env=b '
    assert parameters(line, KNOWN) == {
        "service": "llama", "status": "5xx", "tokens": ">4000", "user": 'Ann "A" Lee', "annotation": "team=a,env=b",
    }  # fmt: skip


@pytest.mark.parametrize("line", ["word", "colour:red", "service:", "service:a service:b", 'user:"open', 'user:"a"b', "status:5xx :x"])
def test_a_line_that_cannot_be_read_says_what_is_wrong(line: str) -> None:
    with pytest.raises(ValueError, match=r"expected|value|twice|closed|missing|filter"):
        parameters(line, KNOWN)


@given(st.dictionaries(st.sampled_from([name for name in KNOWN if name not in JOINED]), st.text(max_size=20)))
def test_what_is_written_as_a_line_reads_the_same(found: dict[str, str]) -> None:
    assert parameters(written(found), KNOWN) == found


@given(st.text(max_size=60))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        parameters(line, KNOWN)
    except ValueError:
        pass


async def test_the_api_takes_the_line_and_refuses_what_is_said_twice(api: Api) -> None:
    filled(api.store)
    assert await api.ids(q="user:u3 protocol:tgi,openai-chat", limit=500) == await api.ids(user="u3", limit=500) != []
    assert (await api.get("/v1/facets", q="user:u3")).json()["counted_rows"] == len(await api.ids(user="u3", limit=500))
    for asked in ({"q": "user:u3", "user": "u4"}, {"q": "what"}, {"q": "tokens:many"}):
        answer = await api.get("/v1/exchanges", **asked)
        assert answer.status_code == 400, asked
        assert answer.json()["errors"][0]["parameter"] in ("q", "text", "tokens")
