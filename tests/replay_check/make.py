"""Makes the recording: scenes take turns on one tape until it has as many entries as are asked for. The same seed gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from collector.decode import Captured
from tests.replay_check.around import hops, hostile, lossy, refused, time
from tests.replay_check.long_bodies import endless
from tests.replay_check.recording import Damage, Recorded, Recording
from tests.replay_check.spoken import exchanges, speaking
from tests.replay_check.stage import Scene, Stage
from tests.support.witnesses import Tape

ENTRIES = 10_000
SCENES: dict[Scene, int] = {lossy: 16, hostile: 30, hops: 12, refused: 2, endless: 1, time: 1}  # with how often each has its turn
SPOKEN, HARVESTED = 15, 20
DAMAGES = 30


def make(seed: int, harvest: Sequence[Captured] = (), entries: int = ENTRIES) -> Recording:
    """`harvest`: exchanges besides those of spoken.py. At the end time passes, so that nothing stays open that has an end."""
    stage = Stage(Tape(), Random(seed))
    often = {**SCENES, speaking(exchanges()): SPOKEN}
    if harvest:
        often[speaking(harvest)] = HARVESTED
    scenes = [scene(stage) for scene in often]
    while len(stage.tape.entries) < entries - 3:
        [scene] = stage.chance.choices(scenes, list(often.values()))
        next(scene)
    del stage.tape.entries[entries - 3 :]
    for _ in range(3):
        stage.tape.tick(1801)
    told = [Recorded(int(one.kind), one.source, one.sender, one.received_at, one.payload) for one in stage.tape.entries]
    return Recording(told, _damages(stage.chance, entries))


def _damages(chance: Random, entries: int) -> list[Damage]:
    """Here and there one entry, or a few beside each other; not at the ends, which say what the journal holds."""
    firsts = sorted(chance.sample(range(20, entries - 20, 10), min(DAMAGES, entries // 40)))
    return [Damage(first, first + chance.choice((0, 0, 0, 4)), chance.random() < 0.4) for first in firsts]
