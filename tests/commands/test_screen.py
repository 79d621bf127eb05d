"""What a terminal shows, however wide it is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from collector.commands import screen

ID = "019aab3d-1234-7abc-8def-0123456789a0"
RECORD: dict[str, Any] = {
    "id": ID,
    "start": "2025-11-22T08:26:40.123456Z",
    "duration_ms": 529.8,
    "service": {"namespace": "models", "name": "llama"},
    "request": {"method": "POST", "path": "/v1/chat/completions?x=" + "y" * 60},
    "response": {"status": 200},
    "inference": {"model_requested": "llama-3"},
    "completeness": ["access_log_missing", "response_truncated"],
}


def shown(monkeypatch: pytest.MonkeyPatch, width: int, terminal: bool) -> list[str]:
    out = io.StringIO()

    def console(wished: int = 200) -> Console:
        return Console(file=out, width=width if terminal else wished, force_terminal=terminal, no_color=True, markup=False, highlight=False)

    monkeypatch.setattr(screen, "console", console)
    screen.show(screen.exchange_table([RECORD, RECORD]))
    return [line.rstrip() for line in out.getvalue().replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "").splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_in_a_narrow_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = shown(monkeypatch, width, terminal=True)
    assert all(len(line) <= width for line in lines)
    assert sum(f"id {ID}" in line for line in lines) == 2
    text = "".join(line.strip() for line in lines)
    for told in ("2025-11-22 08:26:40.123456", "status 200", "ms 529.8", "y" * 60, "models/llama", "response_truncated"):
        assert text.count(told) == 2


@pytest.mark.parametrize(("width", "terminal"), [(300, True), (80, False)])
def test_with_room_and_in_a_pipe_an_exchange_is_one_line(monkeypatch: pytest.MonkeyPatch, width: int, terminal: bool) -> None:
    header, *rows = shown(monkeypatch, width, terminal)
    assert header.split()[-1] == "id"
    assert [row.endswith(ID) for row in rows] == [True, True]
    assert all("y" * 60 in row for row in rows)
