"""The stages behind correlate as the settings want them: what is hidden, what an exchange meant, and whose it was."""

from __future__ import annotations

from collector.decode import Decoded, decode_redacted
from collector.decode.usage import Estimator
from collector.describe.hops import DEFAULT, Billing
from collector.enrich.attach import attach
from collector.enrich.catalogue import Catalogue
from collector.enrich.match import Matcher
from collector.errors import blamed
from collector.messages.people import BAGGAGE
from collector.messages.redacted import Redacted
from collector.messages.seen import Seen
from collector.messages.service import Service
from collector.pipeline.tokenizers import open_estimator
from collector.redact import Consumers, Persons, Redactor, Rules, Source
from collector.settings import Settings
from collector.settings.meaning import Usage, read_key
from collector.settings.people import People


class ExchangeMeaning:
    """Asks redact, the decoder and the catalogue. All are pure and bounded; none raises, whatever the exchange holds."""

    def __init__(
        self,
        catalogue: Catalogue,
        logger_mode: str = "ignore",
        *,
        redactor: Redactor | None = None,
        billing: Billing = DEFAULT,
        estimator: Estimator | None = None,
    ) -> None:
        """`logger_mode`: the setting services.logger_mode."""
        self._catalogue, self._logger_mode = catalogue, logger_mode
        self._matcher = Matcher(catalogue.knows)
        self._redactor, self._estimator, self.billing = redactor or Redactor(), estimator, billing

    @classmethod
    def of(cls, settings: Settings, catalogue: Catalogue) -> ExchangeMeaning:
        """As the settings say. Raises SettingsError: a tokenizer cannot be opened."""
        usage, hidden = settings.usage, settings.redaction
        key = read_key(usage.consumer_key_file) if usage.consumer_key_file else None
        consumers = Consumers(usage.consumer_headers, key) if usage.consumer_headers else None
        rules = Rules(hidden.paths, hidden.patterns, read_key(hidden.key_file) if hidden.key_file else None)
        estimator = open_estimator(usage.tokenizers)
        return cls(
            catalogue,
            settings.services.logger_mode,
            redactor=Redactor(rules, consumers, estimator, _persons(settings.people, key)),
            billing=_billing(usage),
            estimator=estimator,
        )

    @property
    def hides(self) -> bool:
        """See stages.Meaning."""
        return self._redactor.hides

    def redact(self, seen: Seen) -> Redacted:
        """See stages.Meaning."""
        return self._redactor.redact(seen)

    def decode(self, redacted: Redacted) -> tuple[Redacted, Decoded]:
        """See stages.Meaning."""
        try:
            return self._redactor.look_again(redacted, decode_redacted(redacted, self._estimator, self._redactor.reads_people))
        except Exception as error:  # noqa: BLE001 - a decoder that fails leaves the record, and the raw body where nothing is to be hidden
            return self._redactor.undecoded(redacted, blamed(error))

    def enrich(self, redacted: Redacted) -> Service:
        """See stages.Meaning."""
        exchange = redacted.exchange
        log = exchange.access_log
        cluster, route = (log.upstream_cluster, log.route) if log is not None else ("", "")
        found = self._matcher.of(exchange.node, cluster, redacted.authority or "", route, redacted.path or "")
        version = self._catalogue.as_of(found.namespace, found.name, exchange.key.start_us, found.kind) if found.matched else None
        return attach(found, version, self._logger_mode)


def _billing(usage: Usage) -> Billing:
    roles = frozenset(usage.billable_hops) or DEFAULT.roles
    return Billing(roles, bool(usage.billable_hops), usage.bill_mirrored)


def _persons(people: People, key: bytes | None) -> Persons | None:
    if not people.is_told:
        return None
    sources = [
        Source(kind, BAGGAGE if each.baggage else each.header, tuple(each.claims), each.baggage, each.by, tuple(each.callers))
        for kind, of in people.sources.items()
        for each in of
    ]
    return Persons(sources, key, people.clear, people.bodies)
