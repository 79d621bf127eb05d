"""Undoes what stands between the bytes that passed and a body that can be judged: content-encodings, and other encodings of JSON's text.

Content-Encoding is believed as far as the bytes bear it out, as clients do: over legible bytes it is nothing, whatever it says, and gzip
or zstd are known by their first bytes. What was told wrongly is a problem. The decoder and the redaction rules open bodies by this alone.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from collector.decode.encodings import KNOWN, Unpacked, codings, sniff, unpack
from collector.decode.form import is_framed, is_legible, transcoded
from collector.decode.limits import Limits
from collector.decode.reading import Body, Headers

_HEAD = 64  # that so many bytes of something encoded are legible does not happen
_SAMPLE = 4096
_PLAIN = (b"{", b"d", b"e", b"[")  # what nearly all bodies begin with
# gzip, zstd and its skippable frames, and JSON in UTF-16 or UTF-32.
_ODD = re.compile(rb"\x1f\x8b|\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18|\xff\xfe|\xfe\xff|[^\0]{0,3}\0", re.DOTALL)


class Opened(NamedTuple):
    """`ends[i]`: how many decoded bytes there were after the i-th cut. `lies`: what the headers say wrongly. `fault`: why not all could be
    undone. `encoded`: the body's bytes are not those that passed; `behind`: some of these were left behind the end of what was encoded.
    """

    body: Body
    ends: Sequence[int]
    lies: Sequence[str] = ()
    fault: str | None = None
    encoded: bool = False
    behind: bool = False


def open_body(side: str, data: bytes, whole: bool, headers: Headers, cuts: Sequence[int], limits: Limits) -> Opened:
    """`cuts`: rising end offsets of the wire chunks. Never raises."""
    told = codings(headers["content-encoding"]) if data and "content-encoding" in headers else []
    if not told and is_plain(data):
        return Opened(Body(side, data, whole, headers), cuts)
    unpacked, lies = _unpacked(data, told, cuts, limits)
    found, ends, whole = unpacked.data, unpacked.ends, whole and unpacked.whole
    if not is_plain(found) and (text := transcoded(found, whole)) is not None:
        found, ends = text, []
    return Opened(Body(side, found, whole, headers), ends, lies, unpacked.problem, found is not data, unpacked.behind)


def is_plain(data: bytes) -> bool:
    """Whether the bytes show no encoding; what content-encodings are told apart."""
    return (data[:1] in _PLAIN and data[1:2] != b"\0") or not _ODD.match(data)


def _unpacked(data: bytes, told: list[str], cuts: Sequence[int], limits: Limits) -> tuple[Unpacked, list[str]]:
    if len(told) > limits.encodings:
        return unpack(data, told, cuts, limits), []
    names, lies = (told, list[str]()) if len(told) == 1 and told[0] == sniff(data) else _applied(data, told, limits)
    unpacked = unpack(data, names, cuts, limits) if names else Unpacked(data, list(cuts))
    while (another := sniff(unpacked.data)) and not unpacked.problem and len(names) < limits.encodings:
        further = unpack(data, [another, *names], cuts, limits)
        if not further.data:
            break
        names, unpacked = [another, *names], further
        lies.append(f"content-encoding {another} is not told")
    return unpacked, lies


def _applied(data: bytes, told: list[str], limits: Limits) -> tuple[list[str], list[str]]:
    """The codings that were really applied, in their order, and what was told wrongly."""
    names, lies = list[str](), list[str]()
    for number, name in enumerate(reversed(told)):
        real = _real(data, name, limits)
        if real != name:
            lies.append(f"content-encoding {name[:64]!r} is told, the bytes are {f'in {real}' if real else 'not encoded so'}")
        if real:
            names.insert(0, real)
            if number + 1 < len(told) and real in KNOWN:
                data = unpack(data[:_SAMPLE], [real], (), limits).data
    return names, lies


def _real(data: bytes, name: str, limits: Limits) -> str | None:
    """The outermost coding of `data`, of which `name` is told; None for none."""
    seen = sniff(data)
    if seen == name or not data:
        return name
    if seen and unpack(data[:_SAMPLE], [seen], (), limits).data:
        return seen
    if is_legible(data, _HEAD):
        return name if name in ("br", "deflate") and _fits(data, name, limits) else None
    plain = name not in KNOWN and (is_framed(data) or transcoded(data, False) is not None)
    return None if plain else name


def _fits(data: bytes, name: str, limits: Limits) -> bool:
    """Whether legible bytes are nevertheless encoded: to their last one, and to something."""
    unpacked = unpack(data, [name], (), limits)
    return bool(unpacked.data) and unpacked.whole and not unpacked.problem and not unpacked.behind
