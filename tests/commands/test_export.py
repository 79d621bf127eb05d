"""`meshscribe export`: files in parts, that are the same whether it was ended in between or not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from collector.commands import export_parts
from collector.commands.client import AuditClient
from collector.commands.exits import UnreachableError
from collector.commands.export_parts import Job, Patience, run
from collector.commands.export_place import Directory, open_place
from tests.audit.rows import NOW, Store, exchange, payload
from tests.commands.conftest import Cli, Server

ROWS = 11


@pytest.fixture
def filled(store: Store) -> list[dict[str, Any]]:
    rows = [exchange(NOW + n * 1000, path=f"/v1/{n}\n=1") for n in range(ROWS)]
    store.exchanges(*rows)
    store.payloads(*(payload(row, "request", b"+%d" % n) for n, row in enumerate(rows)))
    return rows


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_the_parts_are_all_that_matches_and_the_manifest_fits_them(cli: Cli, filled: list[Any], tmp_path: Path, kind: str) -> None:
    done = cli("export", str(tmp_path / "out"), "-f", kind, "--part-rows", "4", "--bodies")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    assert [part["rows"] for part in manifest["parts"]] == [4, 4, 3]
    assert manifest["rows"] == ROWS
    found = files(tmp_path / "out")
    assert set(found) == {"manifest.json", *(part["name"] for part in manifest["parts"])}
    assert all(sha256(found[part["name"]]).hexdigest() == part["sha256"] for part in manifest["parts"])
    assert "11 exchanges in 3 files" in done.stderr


def test_ndjson_is_the_records_and_csv_a_table_of_each_part(cli: Cli, filled: list[Any], tmp_path: Path) -> None:
    assert cli("export", str(tmp_path / "a"), "--part-rows", "6").exit_code == 0
    assert cli("export", str(tmp_path / "b"), "--part-rows", "6", "-f", "csv").exit_code == 0
    lines = b"".join((tmp_path / f"a/part-00000{n}.ndjson").read_bytes() for n in (1, 2)).splitlines()
    assert lines == [row["data"] for row in filled]

    def read(name: str) -> str:
        return (tmp_path / name).read_bytes().decode()

    table = [row for n in (1, 2) for row in csv.DictReader(io.StringIO(read(f"b/part-00000{n}.csv"), newline=""))]
    assert [row["id"] for row in table] == [row["id"] for row in filled]


def test_parquet_has_typed_columns_records_and_bodies(cli: Cli, filled: list[Any], tmp_path: Path) -> None:
    assert cli("export", str(tmp_path), "-f", "parquet", "--bodies").exit_code == 0
    table = parquet.read_table(tmp_path / "part-000001.parquet").to_pylist()
    assert [row["request_body"] for row in table] == [b"+%d" % n for n in range(ROWS)]
    assert [row["status"] for row in table] == [200] * ROWS
    assert table[3]["path"] == "/v1/3\n=1"
    assert table[0]["start"].isoformat() == "2025-11-22T08:26:40.123456+00:00"
    assert json.loads(table[0]["record"])["id"] == filled[0]["id"]


class Cut(httpx.BaseTransport):
    """Passes on what the API answers, and cuts the connection in the middle of the export's n-th answer."""

    def __init__(self, number: int) -> None:
        self._real = httpx.HTTPTransport()
        self._left = number

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._real.handle_request(request)
        self._left -= 1
        if self._left == 0:
            return httpx.Response(200, headers=answer.headers, stream=Half(answer))
        return answer

    def close(self) -> None:
        self._real.close()


class Half(httpx.SyncByteStream):
    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._answer.iter_raw():
            yield piece[: len(piece) // 2]
            break
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body (incomplete chunked read)")

    def close(self) -> None:
        self._answer.close()


def through(api: AuditClient, transport: httpx.BaseTransport) -> None:
    api._http.close()
    api._http = httpx.Client(transport=transport)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_one_that_was_ended_goes_on_to_the_same_bytes(cli: Cli, server: Server, filled: list[Any], tmp_path: Path, kind: str) -> None:
    job = Job({"order": "asc"}, kind, 4)
    with AuditClient(server.url) as api:
        run(api, Directory(tmp_path / "whole"), job, lambda _: None)
    for number in (1, 2, 3):
        folder = tmp_path / f"cut{number}"
        with AuditClient(server.url) as api:
            through(api, Cut(number))
            with pytest.raises(UnreachableError):
                run(api, Directory(folder), job, lambda _: None, Patience(tries=0))
        server.store.exchanges(
            exchange(NOW + 5500, f"meanwhile{number}", position=(1 << 41) + number),
            exchange(NOW + 9000, revision=number, position=(1 << 42) + number),
        )
        assert not (folder / "manifest.json").exists()
        with AuditClient(server.url) as api:
            run(api, Directory(folder), job, lambda _: None)
        made = files(folder)
        if number == 1:  # the others began when more was stored
            wanted = files(tmp_path / "whole")
            assert json.loads(made.pop("manifest.json"))["parts"] == json.loads(wanted.pop("manifest.json"))["parts"]
            assert {name: data for name, data in made.items() if not name.startswith(".")} == wanted


def test_a_part_that_was_cut_is_asked_for_again(server: Server, filled: list[Any], tmp_path: Path) -> None:
    with AuditClient(server.url) as api:
        through(api, Cut(2))
        assert run(api, Directory(tmp_path), Job({}, "ndjson", 4), lambda _: None, Patience(first_wait=0.0)).rows == ROWS


class Ended(httpx.BaseTransport):
    """Passes on what the API answers, but for the first answer's last line, which says that the answer was ended."""

    def __init__(self) -> None:
        self._real = httpx.HTTPTransport()
        self._ended = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._real.handle_request(request)
        if self._ended or "export" not in request.url.path:
            return answer
        self._ended = True
        lines = httpx.Response(200, headers=answer.headers, stream=answer.stream).read().splitlines(keepends=True)
        told = {"meshscribe_export": {"ended": "your rights are others", "rows": len(lines) - 1, "bytes": 1}}
        headers = {"meshscribe-cursor": answer.headers["meshscribe-cursor"]}
        return httpx.Response(200, headers=headers, content=b"".join(lines[:-1]) + json.dumps(told).encode() + b"\n")

    def close(self) -> None:
        self._real.close()


def test_a_part_that_the_api_ended_is_no_part_and_is_asked_for_again(server: Server, filled: list[Any], tmp_path: Path) -> None:
    with AuditClient(server.url) as api:
        through(api, Ended())
        assert run(api, Directory(tmp_path / "again"), Job({}, "ndjson", 4), lambda _: None, Patience(first_wait=0.0)).rows == ROWS
    with AuditClient(server.url) as api:
        through(api, Ended())
        with pytest.raises(UnreachableError, match="your rights are others"):
            run(api, Directory(tmp_path / "once"), Job({}, "ndjson", 4), lambda _: None, Patience(tries=0))


def test_what_is_whole_is_not_written_over(cli: Cli, filled: list[Any], tmp_path: Path) -> None:
    assert cli("export", str(tmp_path)).exit_code == 0
    again = cli("export", str(tmp_path))
    assert again.exit_code == 2
    assert "it is whole" in again.stderr


def test_one_with_other_options_does_not_go_on(cli: Cli, filled: list[Any], tmp_path: Path) -> None:
    Directory(tmp_path).write(export_parts.NOTES, export_parts._written(export_parts.Manifest(Job({"order": "asc"}, "csv", 5), "x")))
    refused = cli("export", str(tmp_path))
    assert refused.exit_code == 2
    assert "other options" in refused.stderr


def test_a_place_that_is_none_is_refused_without_telling_its_secrets(cli: Cli) -> None:
    refused = cli("export", "gs://key:secret@bucket/x")
    assert refused.exit_code == 2
    assert "secret" not in refused.stderr


def test_a_line_of_filters_chooses_what_is_in_it(cli: Cli, filled: list[Any], tmp_path: Path) -> None:
    assert cli("export", str(tmp_path), "-q", "status:200 streamed:true").exit_code == 0
    assert json.loads((tmp_path / "manifest.json").read_bytes())["rows"] == 0


def test_nothing_that_matches_is_an_export_of_nothing(cli: Cli, store: Store, tmp_path: Path) -> None:
    assert cli("export", str(tmp_path), "-n", "nowhere").exit_code == 0
    assert json.loads((tmp_path / "manifest.json").read_bytes())["rows"] == 0


def test_a_directory_is_made(tmp_path: Path) -> None:
    assert open_place(str(tmp_path / "a/b")).read("x") is None
