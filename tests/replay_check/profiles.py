"""The settings that the recorded journal is replayed under: one leaves all as it is, the others have every kind of rule between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from collector.settings import Settings

_KEY = b"no secret: it is in the tests\n"
_SERVICES = tuple(path.read_text() for path in sorted((Path(__file__).parent / "services").glob("*.yaml")))
_ANNOTATIONS = ["team", "cost*", "serving.kserve.io/*", "owner=hash", "contact=mask", "cost-secret=drop", "note"]


class Profile(NamedTuple):
    """`sections`: the settings that are not the default. `keys`: those of them that are a file with a key. `services`: YAML texts, the
    older versions first.
    """

    name: str
    sections: Mapping[str, Mapping[str, Any]]
    keys: Sequence[tuple[str, str]] = ()
    services: Sequence[str] = ()
    with_usage: bool = True

    def settings(self, folder: Path) -> Settings:
        """With the files that they name in this folder."""
        sections: dict[str, Any] = {name: dict(values) for name, values in self.sections.items()}
        for section, name in self.keys:
            key = folder / f"{section}-{name}"
            key.write_bytes(_KEY)
            sections.setdefault(section, {})[name] = key
        return Settings(**sections)


PROFILES = (
    Profile("plain", {}),
    Profile(
        "paths",
        {
            "redaction": {
                "paths": ["user", "messages[*].content", "choices[*].delta.content", "..ssn", "instances", "inputs[*].data", "input"],
            },
            "usage": {
                "consumer_headers": ["x-consumer", "x-api-key"],
                "billable_hops": ["gateway", "predictor", "serving", "server"],
                "tokenizers": [{"models": "llama*", "bytes_per_token": 3.5}, {"bytes_per_token": 4.25}],
            },
            "services": {"annotations": _ANNOTATIONS, "labels": ["app", "tier=hash"], "logger_mode": "honour", "hash_key": "k"},
        },
        (("redaction", "key_file"), ("usage", "consumer_key_file")),
        _SERVICES,
    ),
    Profile(
        "patterns",
        {
            "redaction": {"patterns": ["jane of the tower", r"[\w.]+@[\w.]+\.\w+", "(?i)oslo", r"\b\d{3}-\d{2}-\d{4}\b"]},
            "correlate": {
                "tap_label": "",
                "linger_seconds": 2.0,
                "idle_seconds": 60.0,
                "late_seconds": 120.0,
                "ledger_seconds": 30.0,
                "open_bytes": 1 << 20,
                "late_bytes": 1 << 18,
                "closed_keys": 1000,
            },
            "services": {"annotations": ["*=hash"], "labels": ["*=mask"], "logger_mode": "require", "probes": True, "max_bytes": 64},
            "usage": {"consumer_headers": ["authorization"]},
        },
        (),
        _SERVICES,
        with_usage=False,
    ),
)
