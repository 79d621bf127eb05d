"""All settings, checked at start, all errors at once. `meshscribe config check` does only that.

Sources, the later wins: defaults, the YAML file named by `--config` or MESHSCRIBE_CONFIG, environment variables
(MESHSCRIBE_JOURNAL__PATH=… for `journal.path`). An unknown name is an error, so that a typing mistake is not a silent default.
"""

from collector.settings.access import Access, KubernetesLogin, MeshLogin, Oidc
from collector.settings.collecting import Audit, Correlate, Ingest, Journal, Log
from collector.settings.kafka import Kafka
from collector.settings.meaning import Redaction, Services, Tokenizer, Usage
from collector.settings.relay import Relay
from collector.settings.root import PREFIX, Role, Settings
from collector.settings.section import MIB, Section
from collector.settings.sink import Search, Sink
from collector.settings.sources import load

__all__ = [
    "MIB",
    "PREFIX",
    "Access",
    "Audit",
    "Correlate",
    "Ingest",
    "Journal",
    "Kafka",
    "KubernetesLogin",
    "Log",
    "MeshLogin",
    "Oidc",
    "Redaction",
    "Relay",
    "Role",
    "Search",
    "Section",
    "Services",
    "Settings",
    "Sink",
    "Tokenizer",
    "Usage",
    "load",
]
