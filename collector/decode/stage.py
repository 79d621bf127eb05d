"""The stage: what a redacted exchange meant. It takes nothing that was not redacted, and changes nothing."""

from __future__ import annotations

from collector.decode.decoder import decode
from collector.decode.usage import Estimator
from collector.messages.captured import Decoded
from collector.messages.redacted import Redacted


def decode_redacted(redacted: Redacted, estimator: Estimator | None = None) -> Decoded:
    """What it meant; nothing without a tap, since an access log knows no meaning. `estimator` counts the tokens of what no server told:
    not where bytes are missing, and not where redact has counted on what passed.
    """
    if redacted.captured is None:
        return Decoded()
    return decode(redacted.captured, estimator=estimator if redacted.all_passed and redacted.counted is None else None)
