"""Settings of the search in what was asked and answered."""

from __future__ import annotations

from pydantic import Field

from collector.settings.section import Section


class Search(Section):
    """Search in prompts and answers (docs/search.md)."""

    text: bool = Field(
        False,
        description="Words of prompts and answers are put into an index as they are stored, after redaction: then `text` is a filter of the"
        " audit API. What was stored before is not found by it.",
    )
    exchange_bytes: int = Field(
        64 << 10,
        ge=1 << 10,
        le=1 << 20,
        description="Characters of an exchange whose words go into it: of the answer first, then of the messages, the newest first.",
    )
