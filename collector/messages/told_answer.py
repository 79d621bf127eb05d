"""What an exchange tells of an answer, as far as another exchange may tell the same: describe makes it, correlate/passed.py compares."""

from __future__ import annotations

from typing import NamedTuple


class ToldAnswer(NamedTuple):
    """What is not known is empty. `answer`, `request`, `trace`: ids. `used`: the number of which all that pass the answer on tell the
    same; `numbers`: all of them. `host`, `account`: the address (`ip` or `ip:port`) and the SPIFFE id of the workload that answers;
    `caller_…`: of who asked. Times are µs since the epoch. `of_model`: the workload serves models.
    """

    exchange: str
    service: str
    answer: str
    request: str
    trace: str
    used: str
    numbers: str
    host: str
    caller_host: str
    account: str
    caller_account: str
    start_us: int
    end_us: int
    of_model: bool
