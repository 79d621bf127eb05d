"""Puts fragments from several witnesses together into exchanges. Pure: no I/O, no clock, no logging; time is the entries' own.

Next stop: decode and enrich.
"""

from collector.correlate.answers import Answers
from collector.correlate.correlator import Correlator
from collector.correlate.limits import Closed, Limits

__all__ = ["Answers", "Closed", "Correlator", "Limits"]
