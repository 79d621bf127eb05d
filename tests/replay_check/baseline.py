"""The committed digests of what a commit's code makes of the recording, and the comparison with what the present code does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from tests.replay_check.lines import Line

FILE = Path(__file__).parent / "baseline.zst"
DIGEST_BYTES = 4

Key = tuple[int, int, int, str]  # position, ordinal, number, type


@dataclass
class Digests:
    """Of one profile's lines, in order. `whole`: a long one over all of them."""

    keys: list[Key] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._whole = sha256()

    def add(self, line: Line) -> None:
        self.keys.append((line.position, line.ordinal, line.number, line.type))
        self.digests.append(line.digest)
        self._whole.update(line.text.encode() + b"\n")

    @property
    def whole(self) -> str:
        return self._whole.hexdigest()

    def by_type(self) -> Counter[str]:
        return Counter(type_ for *_, type_ in self.keys)


class _Packed(NamedTuple):
    """Columns: positions as steps, which pack well."""

    types: list[str]
    steps: list[int]
    ordinals: list[int]
    numbers: list[int]
    kinds: bytes
    digests: bytes
    whole: str


class Stored(NamedTuple):
    """One profile's, as read."""

    digests: dict[Key, bytes]
    whole: str


class Baseline(NamedTuple):
    """`recording`: the digest of what was replayed. `commit`: whose code replayed it."""

    recording: str
    commit: str
    profiles: dict[str, Stored]


def write(path: Path, recording: str, commit: str, profiles: dict[str, Digests]) -> None:
    packed = {name: _packed(digests) for name, digests in profiles.items()}
    path.write_bytes(zstandard.compress(msgspec.msgpack.encode((recording, commit, packed)), 19))


def read(path: Path = FILE) -> Baseline:
    kind = tuple[str, str, dict[str, _Packed]]
    recording, commit, packed = msgspec.msgpack.decode(zstandard.decompress(path.read_bytes()), type=kind)
    return Baseline(recording, commit, {name: _stored(one) for name, one in packed.items()})


def _packed(digests: Digests) -> _Packed:
    types = sorted({type_ for *_, type_ in digests.keys})
    positions = [position for position, *_ in digests.keys]
    return _Packed(
        types,
        [after - before for before, after in pairwise([0, *positions])],
        [ordinal for _, ordinal, _, _ in digests.keys],
        [number for _, _, number, _ in digests.keys],
        bytes(types.index(type_) for *_, type_ in digests.keys),
        b"".join(digests.digests),
        digests.whole,
    )


def _stored(packed: _Packed) -> Stored:
    types = [packed.types[kind] for kind in packed.kinds]
    keys = zip(accumulate(packed.steps), packed.ordinals, packed.numbers, types, strict=True)
    size = DIGEST_BYTES
    return Stored({key: packed.digests[n * size : (n + 1) * size] for n, key in enumerate(keys)}, packed.whole)


class Difference(NamedTuple):
    """`how`: changed, missing (now), new, or order."""

    profile: str
    key: Key
    how: str

    def __str__(self) -> str:
        position, ordinal, number, type_ = self.key
        return f"{self.profile}: {type_} at {position}/{ordinal}/{number}: {self.how}"


def differences(profile: str, old: Stored, new: Digests) -> Iterator[Difference]:
    """In order of the journal."""
    told = dict(zip(new.keys, new.digests, strict=True))
    found = False
    for key in sorted({*old.digests, *told}):
        before, after = old.digests.get(key), told.get(key)
        if before != after:
            found = True
            yield Difference(profile, key, "new" if before is None else "missing" if after is None else "changed")
    if not found and old.whole != new.whole:
        yield Difference(profile, (0, 0, 0, "all"), "order, or a change that the short digests do not show")
