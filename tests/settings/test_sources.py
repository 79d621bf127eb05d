"""Settings as people write them: sizes and times with units, slips that are pointed out, nothing passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.errors import SettingsError
from collector.settings import load
from collector.settings.section import days, seconds, size


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("MESHSCRIBE_")]:
        monkeypatch.delenv(name)


def written(folder: Path, text: str) -> Path:
    file = folder / "meshscribe.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def faults(folder: Path, text: str = "") -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(written(folder, text))
    return raised.value.faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4GiB", 4 << 30),
        ("64 MiB", 64 << 20),
        ("1.5kib", 1536),
        ("500MB", 500_000_000),
        ("2k", 2000),
        ("7b", 7),
        ("12", "12"),
        ("much", "much"),
    ],
)
def test_sizes(text: str, value: int | str) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("10s", 10), ("250ms", 0.25), ("1h30m", 5400), ("2 d", 172800), ("10", "10"), ("soon", "soon"), ("5 s or so", "5 s or so")],
)
def test_times(text: str, value: float | str) -> None:
    assert seconds(text) == value


def test_days() -> None:
    assert days("36h") == 1.5


def test_units_may_be_written_in_the_file_and_in_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_INGEST__MAX_BATCH_BYTES", "8MiB")
    made = load(written(tmp_path, "journal: {quota_bytes: 2GiB, checkpoint_seconds: 1m}\nsink: {retention_days: 30d}"))
    assert (made.journal.quota_bytes, made.journal.checkpoint_seconds) == (2 << 30, 60)
    assert (made.ingest.max_batch_bytes, made.sink.retention_days) == (8 << 20, 30)


def test_what_is_neither_number_nor_quantity_is_a_fault_that_names_the_setting(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, "journal: {quota_bytes: plenty}")
    assert fault.startswith("journal.quota_bytes (MESHSCRIBE_JOURNAL__QUOTA_BYTES): ")


def test_a_key_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    [fault] = faults(tmp_path, "journal: {path: a.db}\ningest: {port: 1}\njournal: {path: b.db}")
    assert "'journal' stands twice, first in line 1" in fault
    assert "line 3" in fault


def test_a_mapping_may_take_over_the_keys_of_another(tmp_path: Path) -> None:
    made = load(written(tmp_path, "journal: &it {quota_bytes: 2GiB}\nsink: {}\naudit: {port: 1}\ningest: {port: 2}\n"))
    assert made.journal.quota_bytes == 2 << 30
    merged = "audit: &ports {host: 127.0.0.1}\ningest: {<<: *ports, port: 7}\n"
    assert load(written(tmp_path, merged)).ingest.port == 7


def test_a_slip_is_told_with_what_may_have_been_meant(tmp_path: Path) -> None:
    assert faults(tmp_path, "journal: {quota_byte: 1}\nsinc: {}") == [
        "journal.quota_byte: no such setting (did you mean quota_bytes?)",
        "sinc: no such setting (did you mean sink?)",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MESHSCRIBE_INGEST_PORT", "1", "MESHSCRIBE_INGEST_PORT: no such setting (did you mean MESHSCRIBE_INGEST__PORT?)"),
        ("MESHSCRIBE_INGEST_PORT", "tcp://10.0.0.1:80", "a service link of Kubernetes: set enableServiceLinks: false"),
        ("MESHSCRIBE_JURNAL__PATH", "x", "(did you mean MESHSCRIBE_JOURNAL__PATH?)"),
        ("MESHSCRIBE_ROLES", "x", "(did you mean MESHSCRIBE_ROLE?)"),
    ],
)
def test_a_variable_that_names_no_setting_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    [fault] = faults(tmp_path)
    assert said in fault


def test_a_variable_of_the_command_line_is_no_slip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHSCRIBE_URL", "http://127.0.0.1:8081")
    monkeypatch.setenv("MESHSCRIBE_TOKEN", "mscr_x")
    load(written(tmp_path, ""))
