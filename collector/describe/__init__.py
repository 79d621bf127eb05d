"""Makes the record of an exchange and the CloudEvents of the record. Pure. Next stop: the sink."""

from collector.describe.events import describe, describe_fault, describe_ledger

__all__ = ["describe", "describe_fault", "describe_ledger"]
