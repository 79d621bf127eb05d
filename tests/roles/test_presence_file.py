"""The sign of life's file: one that cannot be opened ends the start with its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.errors import SettingsError
from collector.roles.away import Presence
from tests.support.clocks import TurnedClock


class Untold:
    """A journal that nothing is told to."""

    id, last_position, last_received_at = "untold", 0, 0

    async def append(self, *_: Any, **__: Any) -> int:
        raise AssertionError("nothing is to be told")


async def test_a_file_that_cannot_be_opened_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "journal.db.alive").mkdir()
    presence = Presence(Untold(), TurnedClock(), tmp_path / "journal.db")
    with pytest.raises(SettingsError, match=r"journal\.path: .*journal\.db\.alive cannot be used: it is a folder"):
        await presence.start()
    await presence.stop()  # hides nothing of it
