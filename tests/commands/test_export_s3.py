"""`meshscribe export s3://…`: against a small S3 server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from collector.commands.export_place import open_place
from tests.audit.rows import NOW, Store, exchange
from tests.commands.conftest import Cli


class Buckets:
    """The server, whose state is the process's, with a folder of its own in one bucket."""

    def __init__(self, port: int) -> None:
        self.files = fs.S3FileSystem(
            access_key="key", secret_key="secret", endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
        )
        self.files.create_dir("audit")
        self.folder = f"audit/{uuid.uuid4().hex}"
        self.url = f"s3://key:secret@{self.folder}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"

    def read(self, name: str) -> bytes:
        with self.files.open_input_stream(f"{self.folder}/{name}") as stream:
            return bytes(stream.read())

    def names(self) -> set[str]:
        return {file.base_name for file in self.files.get_file_info(fs.FileSelector(self.folder))}


@pytest.fixture
def buckets() -> Iterator[Buckets]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield Buckets(server.get_host_and_port()[1])
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ndjson", "parquet"])
def test_parts_and_manifest_are_objects_of_the_bucket(cli: Cli, store: Store, buckets: Buckets, kind: str) -> None:
    rows: list[dict[str, Any]] = [exchange(NOW + n * 1000) for n in range(7)]
    store.exchanges(*rows)
    done = cli("export", buckets.url, "-f", kind, "--part-rows", "3")
    assert done.exit_code == 0, done.output
    assert f"s3://{buckets.folder}/manifest.json" in done.stderr
    assert "secret" not in done.output
    manifest = json.loads(buckets.read("manifest.json"))
    assert buckets.names() == {"manifest.json", *(part["name"] for part in manifest["parts"])}
    assert all(sha256(buckets.read(part["name"])).hexdigest() == part["sha256"] for part in manifest["parts"])
    assert cli("export", buckets.url).exit_code == 2


def test_what_is_not_there_is_none_and_what_cannot_be_reached_is_said(buckets: Buckets) -> None:
    place = open_place(buckets.url)
    assert place.read("nothing") is None
    place.remove("nothing")
    place.write("a", b"1")
    place.write("a", b"22")
    assert place.read("a") == b"22"
