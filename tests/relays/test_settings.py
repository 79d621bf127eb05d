"""The settings of relays: every fault at once, each by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.errors import SettingsError
from collector.settings import Settings, load


def read(folder: Path, *relays: dict[str, Any], **sections: Any) -> Settings:
    (folder / "c.yaml").write_text(yaml.safe_dump({"relays": list(relays), **sections}))
    return load(folder / "c.yaml")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as told:
        read(
            tmp_path,
            {"name": "a", "to": "http", "url": "ftp://x", "token": "t", "token_file": "/none"},
            {"name": "B_", "to": "kafka", "url": "http://x"},
            {"name": "c", "to": "sql", "url": "http://x", "from": "elsewhere"},
            {"name": "d", "to": "sql", "tpyes": []},
        )
    named = {fault.split(" ")[0].rstrip(":") for fault in told.value.faults}
    assert named >= {
        "relays.0.url", "relays.0.token_file", "relays.1.name", "relays.1.url", "relays.2.url", "relays.2.from", "relays.3.url",
        "relays.3.tpyes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("relays", "sections", "said"),
    [
        ([{"name": "a", "to": "kafka"}], {}, "bootstrap_servers is needed"),
        ([{"name": "a", "to": "sql", "url": "sqlite:////x"}], {}, "SQL itself"),
        ([{"name": "a", "to": "kafka"}], {"sink": {"url": "kafka:"}, "kafka": {"bootstrap_servers": "h:1"}}, "Kafka already"),
        ([{"name": "a", "to": "http", "url": "http://h"}] * 2, {}, "used twice"),
    ],
)
def test_relays_that_do_not_fit_the_sink_are_refused(tmp_path: Path, relays: list[Any], sections: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, *relays, **sections)


def test_a_relay_has_all_types_unless_told(tmp_path: Path) -> None:
    (relay,) = read(tmp_path, {"name": "a", "to": "http", "url": "https://h/p"}).relays
    assert set(relay.types) == {"exchange", "usage", "request", "response", "ledger"}
    assert relay.from_ == "sink"


ROLES = {"journal": {"url": "kafka:"}, "kafka": {"bootstrap_servers": "h:1"}}


@pytest.mark.parametrize("sections", [ROLES, {"role": "store", "kafka": {"bootstrap_servers": "h:1"}}], ids=["journal", "role"])
@pytest.mark.parametrize(
    ("relay", "said"),
    [
        ({"name": "a", "to": "kafka"}, "Kafka already"),
        ({"name": "store", "to": "http", "url": "http://h"}, "role store is a relay of this name"),
    ],
)
def test_in_roles_a_relay_reads_the_topics(tmp_path: Path, sections: dict[str, Any], relay: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, relay, **sections)
    read(tmp_path, {"name": "a", "to": "sql", "url": "sqlite:////x"}, **sections)
