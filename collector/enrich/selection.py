"""Which annotations and labels may be copied, and in what form. Pure.

Law 5, secrets do not land: what is not named here never leaves the Kubernetes object, and what is kept is bounded in
size. `resource` applies a `Selection` once for each version; the result is what the catalogue, the store and the
records hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from collector.enrich.version import ServiceVersion
from collector.errors import SettingsError

KEEP, HASH, MASK, DROP = "keep", "hash", "mask", "drop"
TREATMENTS = frozenset({KEEP, HASH, MASK, DROP})
# kubectl writes the whole object here, its secrets included.
NEVER = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
# Stands in for entries that the size bound left out; its value is their number.
OMITTED = "meshscribe.io/omitted"
_HASHED = re.compile(r"blake2b:[0-9a-f]{32}")
_CUT = re.compile(r"… \(cut, \d+ bytes\)\Z")


@dataclass(frozen=True, slots=True)
class Rules:
    """Names that are copied: exact ones, and prefixes; each with its treatment."""

    exact: Mapping[str, str] = field(default_factory=dict)
    prefixes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, rules: Iterable[str]) -> Rules:
        """Reads ``name``, ``prefix*``, ``name=hash``, ``prefix*=mask``, ``name=drop``.

        An exact name beats a prefix and a longer prefix beats a shorter one.
        Raises `SettingsError` with every rule that cannot be read.
        """
        exact: dict[str, str] = {}
        prefixes: dict[str, str] = {}
        faults: list[str] = []
        for rule in rules:
            name, _, how = rule.strip().partition("=")
            fault = _fault(rule, name, how)
            if fault:
                faults.append(fault)
            elif name.endswith("*"):
                prefixes[name[:-1]] = how or KEEP
            else:
                exact[name] = how or KEEP
        if faults:
            raise SettingsError(faults)
        return cls(exact, tuple(sorted(prefixes.items(), key=lambda item: -len(item[0]))))

    def treatment(self, name: str) -> str | None:
        """What becomes of the entry of this name; None where no rule names it."""
        if name in NEVER:
            return DROP
        found = self.exact.get(name)
        if found is not None:
            return found
        return next((how for prefix, how in self.prefixes if name.startswith(prefix)), None)


def _fault(rule: str, name: str, how: str) -> str | None:
    if not name or "*" in name[:-1]:
        return f"{rule!r} is no allow-list rule: write a name, or a prefix that ends with one '*'"
    if how and how not in TREATMENTS:
        return f"{rule!r}: {how!r} is unknown; write one of {', '.join(sorted(TREATMENTS))}"
    return None


@dataclass(frozen=True, slots=True)
class Selection:
    """The allow-lists for annotations and labels with their size bounds in bytes of UTF-8.

    ``hash_key`` keys the hashes (BLAKE2b), so that short values cannot be found by trying them out; without it, equal
    values of different installations have equal hashes.
    """

    annotations: Rules = field(default_factory=Rules)
    labels: Rules = field(default_factory=Rules)
    hash_key: bytes = b""
    max_value_bytes: int = 1024
    max_total_bytes: int = 8192

    def of_annotations(self, annotations: Mapping[str, str], named: Iterable[str] = ()) -> dict[str, str]:
        """The entries that are kept; ``named`` are those that the service's own logger asks for (DROP still wins)."""
        return self._select(self.annotations, annotations, frozenset(named))

    def of_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The entries of ``labels`` that the allow-list keeps."""
        return self._select(self.labels, labels, frozenset())

    def narrowed(self, version: ServiceVersion) -> ServiceVersion:
        """A version that was stored under rules of before, with no more in it than the present ones allow. What those hid or left out
        stays so: only the object itself has it.
        """
        annotations = self._select(self.annotations, version.annotations, frozenset(version.metadata_annotations), self._treat_again)
        labels = self._select(self.labels, version.labels, frozenset(), self._treat_again)
        if annotations == version.annotations and labels == version.labels:
            return version
        return replace(version, annotations=annotations, labels=labels)

    def _select(
        self, rules: Rules, entries: Mapping[str, str], named: frozenset[str], treat: Callable[[str, str], str] | None = None
    ) -> dict[str, str]:
        kept: dict[str, str] = {}
        budget, omitted = self.max_total_bytes, _number(entries.get(OMITTED)) if treat else 0
        for name in sorted(entries):
            treatment = rules.treatment(name) or (KEEP if name in named else DROP)
            if treatment == DROP or name == OMITTED:
                continue
            value = (treat or self._treat)(treatment, str(entries[name]))
            budget -= len(name.encode()) + len(value.encode())
            if budget < 0:
                omitted += 1
            else:
                kept[name] = value
        if omitted:
            kept[OMITTED] = str(omitted)
        return kept

    def _treat(self, treatment: str, value: str) -> str:
        if treatment == MASK:
            return "***"
        encoded = value.encode()
        if treatment == HASH:
            return "blake2b:" + hashlib.blake2b(encoded, digest_size=16, key=self.hash_key[:64]).hexdigest()
        if len(encoded) <= self.max_value_bytes:
            return value
        return f"{encoded[: self.max_value_bytes].decode(errors='ignore')}… (cut, {len(encoded)} bytes)"

    def _treat_again(self, treatment: str, value: str) -> str:
        """A hash of a hash, or of `***`, would only look like one of the value."""
        if treatment == HASH and (value == "***" or _HASHED.fullmatch(value)):
            return value
        return value if treatment == KEEP and _CUT.search(value) else self._treat(treatment, value)


def _number(told: str | None) -> int:
    return int(told) if told is not None and told.isascii() and told.isdigit() else 0
