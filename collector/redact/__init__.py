"""Hides what must not be stored: header secrets, consumers' keys, names of people, and of bodies what an operator's rules name.

Guarantees: it makes the only type that decode and describe accept, and what a rule names is nowhere in it; where the rules cannot be
applied surely, nothing of the body is (fail closed), and the reason is told. Bodies that hold nothing to hide stay as they passed, byte
for byte. Next stop: decode.
"""

from collector.redact.consumers import Consumers
from collector.redact.letters import for_a_letter
from collector.redact.people import Persons
from collector.redact.rules import Rules
from collector.redact.sources import Source
from collector.redact.stage import Redactor

__all__ = ["Consumers", "Persons", "Redactor", "Rules", "Source", "for_a_letter"]
