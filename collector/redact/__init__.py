"""Takes out of bodies what an operator's rules name, before anything of them is decoded for a record or stored.

Guarantees: what a rule names is in nothing that `conceal` gives; where the rules cannot be applied surely, nothing of the body is (fail
closed), and the reason is told. Bodies that hold nothing to hide stay as they passed, byte for byte. Next stop: describe.
"""

from collector.redact.bodies import Kept
from collector.redact.conceal import Concealed, conceal
from collector.redact.rules import Rules

__all__ = ["Concealed", "Kept", "Rules", "conceal"]
