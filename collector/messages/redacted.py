"""An exchange as it may be told: what `collector/redact` makes, and nobody else. Decode and describe accept nothing but this.

Guarantees: no header secret, no consumer's key and nothing that a rule hides is in it; what of the access log or of the tap is not here
in another form is left out of `exchange`. Next stop: decode.
"""

from __future__ import annotations

from msgspec import Struct

from collector.messages.captured import Captured
from collector.messages.exchange import Exchange
from collector.messages.headers import Headers
from collector.messages.inference import Inference
from collector.messages.people import Named, PersonKind
from collector.messages.record import Timing
from collector.messages.usage import RecordedUsage, TokenClasses, UsageAbsence


class Counted(Struct, frozen=True, gc=False):
    """What was counted and named on what passed, where the decoder is not given all of it: the bill is the same with and without rules.

    `counts` are the members of `inference` that hold no text of a body. `names`: of each body (`request`, `response`) the names of models
    and the shapes of tensors that may be told even if it is withheld.
    """

    usage: RecordedUsage
    untold: UsageAbsence | None
    classes: TokenClasses
    timing: Timing
    counts: Inference
    names: dict[str, Inference]


class Redacted(Struct, frozen=True, gc=False):
    """`exchange` has no header blocks, and bodies as they may be stored. The headers are as a record may show them; of those that hide
    nothing `request` and `response` have the first value of each name. `forwarded_headers` are the request's for those who read our
    events in place of KServe's: in them every secret is blank, even a hashed one.

    `consumer`: the caller's hash. `people`: who is behind the call. `extents`: of a body (`request`, `response`) whether rules took `part`
    or `all` of it; `reasons` says why, if it is to be told. `problems`: what witnesses told that cannot be. `captured`: what the decoder
    may read; None: it is not asked. `all_passed`: `captured` holds all that passed, so that what no server told may be estimated from it.
    All else is as in `Seen`.
    """

    exchange: Exchange
    problems: list[str]
    request_headers: Headers
    request_trailers: Headers
    response_headers: Headers
    response_trailers: Headers
    forwarded_headers: Headers
    request: dict[str, str]
    response: dict[str, str]
    request_id: str
    method: str | None
    path: str | None
    authority: str | None
    status: int | None
    start_us: int
    duration_us: int | None
    flags: int
    consumer: str | None = None
    people: dict[PersonKind, Named] = {}
    extents: dict[str, str] = {}
    reasons: dict[str, str] = {}
    captured: Captured | None = None
    all_passed: bool = False
    counted: Counted | None = None
