"""What HTTP offers beside GET and 200: HEAD, If-None-Match, compression; and nothing for pages of other sites."""

from __future__ import annotations

import json
import zlib

import pytest
import zstandard

from collector.audit.compressed import wanted
from tests.audit.conftest import Api
from tests.audit.rows import NOW, exchange, payload

LARGE = {"data": json.dumps({"id": "x", "text": "again and " * 1000}).encode()}


async def raw(api: Api, path: str, **headers: str) -> tuple[dict[str, str], bytes]:
    """Header fields, and the bytes as they were sent."""
    async with api.client.stream("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}) as answer:
        return dict(answer.headers), b"".join([piece async for piece in answer.aiter_raw()])


def stored(api: Api) -> str:
    row = exchange(NOW, **LARGE)
    api.store.exchanges(row)
    api.store.payloads(payload(row, "request", b'{"text": "%s"}' % (b"again and " * 1000)))
    return str(row["id"])


OF_ONE = [f"/v1/exchanges/{{id}}{of}" for of in ("", "/request", "/events")]


@pytest.mark.parametrize(
    "path", [*OF_ONE, "/v1/exchanges", "/v1/exchanges/none", "/v1/ledger", "/v1/services", "/healthz", "/readyz", "/docs", "/openapi.json"]
)
async def test_head_is_get_without_the_body(api: Api, path: str) -> None:
    path = path.format(id=stored(api))
    got, head = await api.client.get(path), await api.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert dict(head.headers) == dict(got.headers)


@pytest.mark.parametrize("path", ["/v1/export", "/v1/tail"])
async def test_head_of_what_is_streamed_ends_at_once(api: Api, path: str) -> None:
    stored(api)
    for _ in range(20):  # and leaves its seat
        head = await api.client.head(path)
        assert (head.status_code, head.content) == (200, b"")


async def test_head_is_counted_under_its_route(api: Api) -> None:
    await api.client.head("/v1/exchanges")
    assert 'meshscribe_audit_requests_total{route="/v1/exchanges",status="200"} 1.0' in (await api.get("/metrics")).text


@pytest.mark.parametrize("path", ["", "/request", "/events"])
async def test_who_has_it_already_is_told_so(api: Api, path: str) -> None:
    url = f"/v1/exchanges/{stored(api)}{path}"
    api.client.headers["accept-encoding"] = "identity"
    first = await api.client.get(url)
    tag = first.headers["etag"]
    for told in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await api.client.get(url, headers={"if-none-match": told})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"].startswith("no-store")
    assert (await api.client.get(url, headers={"if-none-match": '"other"'})).content == first.content


async def test_a_new_revision_has_a_new_tag(api: Api) -> None:
    identity = stored(api)
    api.client.headers["accept-encoding"] = "identity"
    tag = (await api.get(f"/v1/exchanges/{identity}")).headers["etag"]
    api.store.exchanges(exchange(NOW, revision=1, position=1 << 41))
    answer = await api.client.get(f"/v1/exchanges/{identity}", headers={"if-none-match": tag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != tag


async def test_what_is_not_there_has_no_tag(api: Api) -> None:
    answer = await api.client.get("/v1/exchanges/none", headers={"if-none-match": "*"})
    assert answer.status_code == 404
    assert "etag" not in answer.headers


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
@pytest.mark.parametrize("path", ["/v1/exchanges", "/v1/exchanges/{id}", "/v1/export"])
async def test_it_is_compressed_for_who_asks(api: Api, path: str, coding: str) -> None:
    path = path.format(id=stored(api))
    plain_headers, plain = await raw(api, path, accept_encoding="identity")
    headers, packed = await raw(api, path, accept_encoding=coding)
    assert headers["content-encoding"] == coding
    unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(packed) if coding == "zstd" else zlib.decompress(packed, 31)
    assert unpacked == plain
    assert len(packed) < len(plain)
    assert "content-encoding" not in plain_headers
    assert headers["vary"] == plain_headers["vary"] == "Accept-Encoding"


async def test_a_tag_of_compressed_bytes_is_weak(api: Api) -> None:
    headers, _ = await raw(api, f"/v1/exchanges/{stored(api)}", accept_encoding="gzip")
    assert headers["etag"].startswith('W/"')


async def test_stored_bodies_are_sent_as_they_are(api: Api) -> None:
    headers, data = await raw(api, f"/v1/exchanges/{stored(api)}/request", accept_encoding="gzip, zstd")
    assert "content-encoding" not in headers
    assert headers["cache-control"] == "no-store, no-transform"
    assert json.loads(data)["text"]


async def test_what_is_small_is_sent_as_it_is(api: Api) -> None:
    headers, data = await raw(api, "/healthz", accept_encoding="gzip")
    assert "content-encoding" not in headers
    assert int(headers["content-length"]) == len(data)


async def test_what_another_sites_page_asks_for_is_not_compressed(api: Api) -> None:
    stored(api)
    for site in ("cross-site", "same-site"):
        headers, _ = await raw(api, "/v1/exchanges", accept_encoding="gzip", sec_fetch_site=site)
        assert "content-encoding" not in headers
    assert "content-encoding" in (await raw(api, "/v1/exchanges", accept_encoding="gzip", sec_fetch_site="same-origin"))[0]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("*", "zstd"),
        ("*;q=0.1, identity;q=1", None),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=x", None),
        ("br", None),
        ("GZIP ; q=0.3", "gzip"),
    ],
)
def test_the_coding_is_the_one_that_is_liked_best(accepted: str, coding: str | None) -> None:
    assert wanted(accepted) == coding


@pytest.mark.parametrize("path", ["/v1/exchanges", "/v1/export", "/v1/tail", "/healthz"])
async def test_a_page_of_another_origin_is_allowed_nothing(api: Api, path: str) -> None:
    asked = {
        "origin": "https://elsewhere.example",
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
    }
    answer = await api.client.options(path, headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    if path != "/v1/tail":
        got = await api.client.get(path, headers={"origin": "https://elsewhere.example"})
        assert not [name for name in got.headers if name.startswith("access-control-")]
