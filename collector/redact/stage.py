"""The stage between correlate and decode: the only maker of what decode and describe accept, so that nothing gets round what hides.

Guarantees: pure; where rules cannot be applied surely, or the decoder failed, nothing of the body is kept. Without rules bodies stay as
they passed. Next stop: decode, and back here for a second look at what it put together.
"""

from __future__ import annotations

from msgspec import structs

from collector.decode.people import Said
from collector.decode.stage import undecoded
from collector.decode.usage import Estimator
from collector.errors import blamed
from collector.messages.captured import Decoded
from collector.messages.exchange import AccessLog, Exchange, Tap
from collector.messages.headers import Headers
from collector.messages.queries import without_query_secrets
from collector.messages.redacted import Redacted
from collector.messages.secrets import look_at
from collector.messages.seen import Seen
from collector.redact import levels
from collector.redact.bodies import ALL, SIDES, Kept
from collector.redact.conceal import conceal
from collector.redact.consumers import Consumers
from collector.redact.headers import without_hashes, without_messages, without_quotes, without_secrets
from collector.redact.people import People, Persons
from collector.redact.rules import Rules
from collector.redact.second_look import JOINED, look_again

_NO_LOG = AccessLog()


class Redactor:
    """`rules`: what is hidden of bodies. `consumers`, `persons`: None: they are not told apart. `estimator` counts the tokens of what
    passed.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        consumers: Consumers | None = None,
        estimator: Estimator | None = None,
        persons: Persons | None = None,
    ) -> None:
        self._rules, self._consumers, self._estimator, self._persons = rules or None, consumers, estimator, persons
        self.reads_people = persons is not None and persons.bodies  # whether the decoder is asked who is behind a call

    @property
    def hides(self) -> bool:
        """Whether anything of what comes in must not be stored as it is."""
        return self._rules is not None or self._consumers is not None or self._persons is not None

    def redact(self, seen: Seen) -> Redacted:
        """The exchange as it may be told and decoded."""
        redacted, tap = self._with_headers(seen), seen.exchange.tap
        if self._rules is None or tap is None or redacted.captured is None:
            return redacted
        try:
            return self._with_rules(redacted, (False, False) if redacted.all_passed else levels.cut(tap), self._rules)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known to be free of what rules hide
            return _without_bodies(redacted, blamed(error))

    def look_again(self, redacted: Redacted, decoded: Decoded) -> tuple[Redacted, Decoded]:
        """Both, without what rules find in what the decoder put together, and with hashes of whom it found."""
        if decoded.people:
            if redacted.counted is None:  # else what passed has told it, and here a mark may stand in its place
                redacted = self._with_said(redacted, decoded.people)
            decoded = structs.replace(decoded, people={})
        if self._rules is None or redacted.captured is None:
            return redacted, decoded
        withheld = [side for side, extent in redacted.extents.items() if extent == ALL]
        decoded, found = look_again(decoded, withheld, redacted.counted, self._rules)
        return (_with_kept(redacted, dict.fromkeys(found, JOINED)) if found else redacted), decoded

    def undecoded(self, redacted: Redacted, fault: str) -> tuple[Redacted, Decoded]:
        """The same where the decoder failed. With rules nothing is known to be free of what they hide: the bodies are withheld."""
        if self._rules is None:
            return redacted, undecoded(redacted, f"the decoder failed: {fault}")
        bare = _without_bodies(redacted, fault)
        return bare, undecoded(bare)

    def _with_headers(self, seen: Seen) -> Redacted:
        """Headers are redacted; of bodies there is what the tap's level leaves."""
        people: People = {}
        tap, asked, consumer, problems = seen.exchange.tap, seen.request_headers, None, seen.problems
        answered, sent, trailers = seen.response_headers, seen.request_trailers, seen.response_trailers
        # Also of the tap: its filter may be older, or hide by a list of its own.
        look = look_at(seen.request)
        asked, answered = without_secrets(asked, seen.request, look), without_secrets(answered, seen.response, look_at(seen.response))
        if sent or trailers:  # most exchanges have none
            sent, trailers = _trailers(sent), _trailers(trailers)
        path = without_query_secrets(seen.path) if seen.path else seen.path
        if self._consumers is not None:
            consumer = self._consumers.of(seen.request, (seen.exchange.access_log or _NO_LOG).request_headers)
            asked = self._consumers.hide(asked)
        request = seen.request if asked is seen.request_headers else dict(asked[::-1])
        response = seen.response if answered is seen.response_headers else dict(answered[::-1])
        if (persons := self._persons) is not None:
            people, nameless = persons.of(seen)
            problems = [*problems, *nameless] if nameless else problems
            asked, request = persons.hide(asked, request)
            answered, response = persons.hide(answered, response)
            sent = persons.hide(sent, dict(sent))[0] if sent else sent
            trailers = persons.hide(trailers, dict(trailers))[0] if trailers else trailers
        is_decoded = tap is not None and tap.level in levels.DECODED
        captured = levels.captured(seen, tap, path, asked, answered, trailers) if tap is not None and is_decoded else None
        if self._rules is not None and self._rules.patterns:
            told, trailers = without_quotes(answered, self._rules.patterns), without_quotes(trailers, self._rules.patterns)
            if told is not answered:
                answered, response = told, dict(told[::-1])
        return Redacted(  # by position: of 15 and more arguments with names Python makes a dict first, for 2 µs
            _bare(seen.exchange),
            problems,
            asked,
            sent,
            answered,
            trailers,
            without_hashes(asked, request, look.secret) if tap is not None and tap.level in levels.WITH_REQUEST else [],
            request,
            response,
            seen.request_id,
            seen.method,
            path,
            seen.authority,
            seen.status,
            seen.start_us,
            seen.duration_us,
            seen.flags,
            consumer,
            people,
            captured=captured,
            all_passed=tap is not None and levels.has_all(tap),
        )

    def _with_rules(self, redacted: Redacted, cut: tuple[bool, bool], rules: Rules) -> Redacted:
        if redacted.captured is None:
            return redacted
        estimator = self._estimator if redacted.all_passed else None
        concealed = conceal(redacted.captured, rules, cut, estimator=estimator, with_people=self.reads_people)
        if concealed.said:
            redacted = self._with_said(redacted, concealed.said)
        if concealed.counted is None:
            return redacted if concealed.captured is redacted.captured else structs.replace(redacted, captured=concealed.captured)
        kept = {"request": concealed.request, "response": concealed.response}
        return structs.replace(_with_kept(redacted, kept), captured=concealed.captured, counted=concealed.counted)

    def _with_said(self, redacted: Redacted, said: Said) -> Redacted:
        return structs.replace(redacted, people=self._persons.with_said(redacted.people, said)) if self._persons else redacted


def _trailers(told: Headers) -> Headers:
    """Without secrets."""
    if not told:
        return told
    named = dict(told)
    return without_secrets(told, named, look_at(named))


def _bare(exchange: Exchange) -> Exchange:
    """The exchange without its header blocks, and without bodies that its level leaves out; itself if it has none of these."""
    tap, log = exchange.tap, exchange.access_log
    if tap is None and log is not None and not (log.request_headers or log.response_headers or log.response_trailers):
        return exchange
    if tap is not None:
        request, response = levels.bodies(tap)
        tap = Tap(  # by position: to replace six of them takes three times as long
            tap.vm, tap.stream, tap.level, tap.rule, request, response, None, None, None, None, tap.response_headers_us, tap.ended,
            tap.end_us, tap.request_complete, tap.response_complete, tap.flags, tap.code, tap.caller_address, tap.principal,
        )  # fmt: skip
    if log is not None and (log.request_headers or log.response_headers or log.response_trailers):
        log = structs.replace(log, request_headers={}, response_headers={}, response_trailers={})
    return Exchange(
        exchange.key, exchange.revision, exchange.node, exchange.completeness, tap, log, exchange.closed_at, exchange.problems,
        exchange.start_told, exchange.lost, exchange.interim,
    )  # fmt: skip


def _with_kept(redacted: Redacted, kept: dict[str, Kept]) -> Redacted:
    """With these in place of the bodies, where something was hidden."""
    tap = redacted.exchange.tap
    hidden = {side: one for side, one in kept.items() if one.redacted}
    if not hidden or tap is None:
        return redacted
    tap = _with_bodies(tap, {side: one.data for side, one in hidden.items()})
    extents = {side: one.redacted for side, one in hidden.items()}
    reasons = {side: _reason(side, one) for side, one in hidden.items() if one.why}
    if redacted.extents:
        extents, reasons = _in_order(redacted.extents | extents), _in_order(redacted.reasons | reasons)
    return structs.replace(redacted, exchange=structs.replace(redacted.exchange, tap=tap), extents=extents, reasons=reasons)


def _with_bodies(tap: Tap, data: dict[str, bytes]) -> Tap:
    return structs.replace(tap, **{side: structs.replace(getattr(tap, side), data=data[side]) for side in data})


def _in_order(of: dict[str, str]) -> dict[str, str]:
    """The request first, whichever was found first."""
    return {side: of[side] for side in SIDES if side in of}


def _reason(side: str, kept: Kept) -> str:
    return f"{side} body: {'withheld: ' if kept.redacted == ALL else ''}{kept.why}"


def _without_bodies(redacted: Redacted, fault: str) -> Redacted:
    """Nothing is kept but what no body and no error says."""
    tap, extents = redacted.exchange.tap, redacted.extents
    if tap is not None:
        held = [side for side in SIDES if getattr(tap, side).data]
        tap = _with_bodies(tap, dict.fromkeys(held, b""))
        extents = _in_order(extents | dict.fromkeys(held, ALL))
    return structs.replace(
        redacted,
        exchange=structs.replace(redacted.exchange, tap=tap),
        problems=[*redacted.problems, f"the decoder failed, so that bodies are withheld: {fault}"],
        response_headers=without_messages(redacted.response_headers),
        response_trailers=without_messages(redacted.response_trailers),
        extents=extents,
        reasons={},
        captured=None,
        counted=None,
    )
