"""What counts the pipeline's dead letters, in a role."""

from __future__ import annotations

import asyncio

from collector.dead_letters.burials import Burials
from collector.dead_letters.open import open_letters
from collector.dead_letters.sql import SqlDeadLetters
from collector.metrics import DeadLetterMetrics
from collector.roles.parts import Starting
from collector.tasks import cancel

LOOK_SECONDS, LOOK_TOPIC_SECONDS = 10.0, 300.0


def start_burials(starting: Starting) -> Burials:
    """Also looks now and then at the letters that are there: a topic has to be read as a whole for it."""
    burials, letters = Burials(), open_letters(starting.settings)
    DeadLetterMetrics(starting.registry, burials)
    looking = asyncio.create_task(burials.look(letters, LOOK_SECONDS if isinstance(letters, SqlDeadLetters) else LOOK_TOPIC_SECONDS))
    starting.stack.push_async_callback(letters.close)
    starting.stack.push_async_callback(cancel, looking)
    return burials
