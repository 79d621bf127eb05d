"""Bodies: exact bytes, and never anything that a browser would run."""

from __future__ import annotations

import gzip

import pytest

from collector.messages.completeness import Completeness
from tests.audit.conftest import Api
from tests.audit.rows import NOW, exchange, payload


async def test_a_body_is_the_bytes_as_they_passed_still_encoded(api: Api) -> None:
    row, sent = exchange(NOW), gzip.compress(b'{"prompt": "hello"}' * 50)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", sent, content_encoding="gzip"))
    answer = await api.get(f"/v1/exchanges/{row['id']}/request")
    assert answer.content == sent
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["meshscribe-content-encoding"] == "gzip"
    assert "content-encoding" not in answer.headers


async def test_a_body_stored_without_compression_is_read_too(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "response", b"", compression=None, data=b"\x00\xff"))
    assert (await api.get(f"/v1/exchanges/{row['id']}/response")).content == b"\x00\xff"


async def test_request_and_response_are_not_mixed_up(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"asked"), payload(row, "response", b"answered"))
    assert (await api.get(f"/v1/exchanges/{row['id']}/request")).content == b"asked"
    assert (await api.get(f"/v1/exchanges/{row['id']}/response")).content == b"answered"


async def test_a_stored_page_is_a_download_that_no_browser_runs(api: Api) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "response", b"<script>alert(1)</script>", content_type="text/html"))
    headers = (await api.get(f"/v1/exchanges/{row['id']}/response")).headers
    assert headers["content-disposition"] == f'attachment; filename="{row["id"]}-response"'
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("hostile", ["text/html\r\nSet-Cookie: a=b", "a\nb", "text/\x00html", "é", "t" * 1000, "", " "])
async def test_a_content_type_that_is_no_header_value_does_not_become_one(api: Api, hostile: str) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"x", content_type=hostile, content_encoding=hostile))
    headers = (await api.get(f"/v1/exchanges/{row['id']}/request")).headers
    assert headers["content-type"] == "application/octet-stream"
    assert "meshscribe-content-encoding" not in headers
    assert "set-cookie" not in headers


@pytest.mark.parametrize(("size", "truncated"), [(4, "false"), (5, "true"), (None, None)])
async def test_a_cut_body_says_so_and_an_unknown_size_says_nothing(api: Api, size: int | None, truncated: str | None) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"1234", size=size))
    headers = (await api.get(f"/v1/exchanges/{row['id']}/request")).headers
    assert headers["meshscribe-captured"] == "4"
    assert headers.get("meshscribe-truncated") == truncated
    assert headers.get("meshscribe-size") == (None if size is None else str(size))


async def test_a_revision_without_a_body_of_its_own_shares_the_one_before(api: Api) -> None:
    first, second, third = (exchange(NOW, revision=n, position=n) for n in range(3))
    api.store.exchanges(first, second, third)
    api.store.payloads(payload(first, "request", b"old"), payload(second, "request", b"new"))
    for revision, data, owner in [({}, b"new", "1"), ({"revision": 2}, b"new", "1"), ({"revision": 0}, b"old", "0")]:
        answer = await api.get(f"/v1/exchanges/{first['id']}/request", **revision)
        assert answer.content == data
        assert answer.headers["meshscribe-revision"] == owner


async def test_a_missing_body_is_a_404_that_says_what_the_record_knows(api: Api) -> None:
    row = exchange(NOW, completeness=int(Completeness.NOT_TAPPED))
    api.store.exchanges(row)
    answer = await api.get(f"/v1/exchanges/{row['id']}/request")
    assert answer.status_code == 404
    assert "not_tapped" in answer.json()["detail"]
    assert (await api.get("/v1/exchanges/zzz/response")).status_code == 404


@pytest.mark.parametrize("changes", [{"data": b"not zstd"}, {"compression": "lz4"}])
async def test_a_damaged_body_is_a_fault_and_not_wrong_bytes(api: Api, changes: dict[str, object]) -> None:
    row = exchange(NOW)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b"x", **changes))
    answer = await api.get(f"/v1/exchanges/{row['id']}/request")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_with_holes_says_where_they_are(api: Api) -> None:
    row = exchange(NOW)
    row["data"] = row["data"].replace(
        b'"response" :  {"status" :  200 , "body" :  {}', b'"response" :  {"body" :  {"gaps" :  [[3 , 4] , [9 , 1]]}'
    )
    assert b'"gaps"' in row["data"]
    api.store.exchanges(row)
    api.store.payloads(payload(row, "response", b"abchijk", size=12), payload(row, "request", b"whole"))
    assert (await api.get(f"/v1/exchanges/{row['id']}/response")).headers["meshscribe-gaps"] == "3+4, 9+1"
    assert "meshscribe-gaps" not in (await api.get(f"/v1/exchanges/{row['id']}/request")).headers
