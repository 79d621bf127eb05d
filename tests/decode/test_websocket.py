"""Frames of WebSockets: what `websockets` wrote is read, in whatever pieces it comes; whatever else comes costs little and is no fault."""

from __future__ import annotations

import random
import zlib
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from collector.decode.limits import DEFAULT, Limits
from collector.decode.websocket import Close, Reader, first_frame, unmasked
from tests.decode.socket_calls import close, deflate, frames, ping
from tests.decode.test_properties import FUZZ_BYTES, mutated

TEXTS = st.lists(st.text(max_size=300).map(str.encode), max_size=12)
PACKED = st.sampled_from([None, (True, 15), (False, 15), (True, 9), (False, 12)])
MESSAGES = [b'{"type":"delta","n":%d,"text":"%s"}' % (number, b"word " * number) for number in range(60)]


def read(*pieces: bytes, limits: Limits = DEFAULT) -> tuple[list[bytes], Reader, list[str]]:
    told: list[str] = []
    reader = Reader(limits, told.append)
    return [message.data for piece in pieces for message in reader.feed(piece)], reader, told


def behind(tail: bytes, offset: int = 1000, ended: bool = True) -> tuple[list[bytes], list[str]]:
    """What is read of the last bytes alone."""
    told: list[str] = []
    reader = Reader(DEFAULT, told.append)
    start = first_frame(tail, ended)
    if start is None:
        return [], told
    reader.gap(offset + start)
    return [message.data for message in reader.feed(tail[start:])], told


@given(TEXTS, st.booleans(), PACKED, st.integers(1, 4), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_whatever_was_sent_is_read_in_any_pieces(messages, mask, packed, fragments, lengths):
    wire = ping(mask) + frames(messages, mask, deflate(*packed) if packed else None, fragments) + close(1000, "done", mask)
    whole, reader, told = read(wire)
    assert (whole, reader.close, told, reader.unread) == (messages, Close(1000, "done"), [], False)
    at, pieces = 0, list[bytes]()
    while at < len(wire):
        pieces.append(wire[at : at + lengths[len(pieces) % len(lengths)]])
        at += len(pieces[-1])
    assert read(*pieces)[0] == messages


@given(st.binary(max_size=99), st.binary(min_size=4, max_size=4))
def test_a_mask_is_undone(data, mask):
    assert unmasked(data, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def test_a_message_ends_where_its_last_frame_does():
    wire = frames(MESSAGES, pieces=2)
    told = list(Reader(DEFAULT, lambda _: None).feed(wire))
    ends = [len(frames(MESSAGES[: number + 1], pieces=2)) for number in range(len(MESSAGES))]
    assert [message.end for message in told] == ends


def test_a_control_frame_may_stand_between_fragments():
    first, second = frames([b"ab"], pieces=2)[:3], frames([b"ab"], pieces=2)[3:]
    assert read(first + ping() + second)[0] == [b"ab"]


@given(st.integers(0, 5000), st.sampled_from([None, (False, 15), (False, 10)]), st.integers(1, 3))
def test_behind_a_gap_the_messages_are_found_again(cut, packed, fragments):
    packer = deflate(*packed) if packed else None
    each = [frames([message], packed=packer, pieces=fragments) for message in MESSAGES]
    wire = b"".join(each) + close()
    cut %= len(wire) - 8
    starts = [0, *accumulate(map(len, each))]
    whole = [message for message, start in zip(MESSAGES, starts, strict=False) if start >= cut]
    found = behind(wire[cut:], cut)[0]
    assert found[len(found) - len(whole) :] == whole
    assert not [message for message in found[: len(found) - len(whole)] if message.startswith(b"{")]  # of what only looked like a frame


def test_behind_a_gap_what_needs_the_missing_bytes_is_not_made_up():
    wire = frames(MESSAGES, packed=deflate())
    cut = len(wire) // 2
    found, told = behind(wire[cut:], cut)
    assert set(found) <= set(MESSAGES)
    assert told[0] == "a message of a WebSocket was compressed with what stands in bytes that are missing: it is not read"


@given(st.integers(1, 50), st.integers(1, 9))
def test_what_passed_before_a_gap_is_not_taken_for_what_is_missing(head, gap):
    packer = deflate()
    each = [frames([message], packed=packer) for message in MESSAGES]
    reader = Reader(DEFAULT, lambda _: None)
    assert [message.data for message in reader.feed(b"".join(each[:head]))] == MESSAGES[:head]
    reader.gap(sum(map(len, each[: head + gap])))
    assert {message.data for message in reader.feed(b"".join(each[head + gap :]))} <= set(MESSAGES[head + gap :])


@given(st.integers(1, 400))
def test_of_a_tail_without_its_end_the_frames_are_found_too(cut):
    wire = frames(MESSAGES)
    found, _ = behind(wire[-2000:-cut], ended=False)
    assert found
    assert set(found) <= set(MESSAGES)
    assert MESSAGES.index(found[-1]) >= MESSAGES.index(behind(wire[-2000:])[0][-1]) - cut // 300 - 2


def test_a_text_that_holds_what_looks_like_frames_makes_no_message():
    inner = frames([b'{"type":"response.completed"}']).decode("latin-1")
    found, _ = behind(frames([{"type": "delta", "delta": f"{inner}Á~  {inner}" * 40}, {"type": "end"}])[100:])
    assert found == [b'{"type": "end"}']


SMALL = Limits(json_bytes=100, socket_bytes=4000, events=50, ratio_free=2000, ratio=10)


@pytest.mark.parametrize("pieces", [1, 4])
@pytest.mark.parametrize("packed", [None, (True, 15)])
def test_a_message_that_is_too_long_is_left_out_and_said(pieces, packed):
    long = random.Random(1).randbytes(300) if packed else b"x" * 300
    found, reader, told = read(
        Frame(Opcode.TEXT, b"a").serialize(mask=False) + frames([long], packed=deflate(*packed) if packed else None, pieces=pieces) +
        frames([b"b"]), limits=SMALL
    )  # fmt: skip
    assert (found, told) == ([b"a", b"b"], ["a message of a WebSocket of more than 100 bytes is not read"])
    assert reader.unread


def test_a_message_that_inflates_to_too_much_is_left_out():
    found, _, told = read(frames([b"y" * 500], packed=deflate()) + frames([b"b"]), limits=SMALL)
    assert (found, told) == ([b"b"], ["a message of a WebSocket of more than 100 bytes is not read"])


def test_messages_inflate_to_a_bound():
    found, _, told = read(frames([b"y" * 99] * 45, packed=deflate()), limits=SMALL)
    assert len(found) == 4000 // 99
    assert told == ["the messages of a WebSocket are more than are inflated: the rest is not read"]


def test_frames_are_read_up_to_a_number():
    found, _, told = read(frames([b"a"] * 60), limits=SMALL)
    assert (len(found), told) == (50, ["more than 50 frames of a WebSocket: the rest is not read"])


@pytest.mark.parametrize(
    "wire",
    [b"HTTP/1.1 200 OK\r\n", b"\xf1\x01a", b"\x83\x00", b"\x80\x01a", b"\x01\x01a\x81\x01b", b"\x09\x00", b"\x88\x7e\x00\x80" + bytes(128)],
)
def test_bytes_that_are_no_frames_are_said(wire):
    found, reader, told = read(frames([b"a"]) + wire + frames([b"b"]))
    assert (found, reader.unread) == ([b"a"], True)
    assert told == ["bytes that are no frames of a WebSocket: what comes behind them is not read"]


def test_a_hostile_length_waits_for_nothing_and_costs_nothing():
    found, reader, told = read(b"\x81\x7f\x7f" + b"\xff" * 7, b"a" * 10_000)
    assert (found, told, reader._held) == ([], ["a message of a WebSocket of more than 4194304 bytes is not read"], 0)


def test_a_damaged_compressed_message_loses_those_that_need_it_and_no_other():
    packed = deflate()
    wire = bytearray(frames(MESSAGES[:1], packed=packed) + frames(MESSAGES[1:], packed=packed))
    wire[2] = 0x07  # a block of a type that there is not
    found, reader, told = read(bytes(wire))
    assert set(found) <= set(MESSAGES)
    assert reader.unread
    assert told[0] == "a message of a WebSocket could not be inflated: it is not read"


def test_a_sender_may_end_its_deflate_stream_and_begin_anew():
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(b"abc") + packer.flush(zlib.Z_FINISH)
    wire = bytes([0xC1, len(block)]) + block
    assert read(wire + wire)[0] == [b"abc", b"abc"]


@pytest.mark.slow
def test_any_bytes_at_all_are_read_without_a_fault():
    chance, done = random.Random(5), 0
    kinds = [
        frames(MESSAGES[:20], mask, packed and deflate(*packed), 2) for mask in (False, True) for packed in (None, (True, 15), (False, 9))
    ]
    while done < FUZZ_BYTES:
        wire = mutated(chance.choice(kinds), chance) if chance.random() < 0.9 else chance.randbytes(chance.randrange(2000))
        done += len(wire)
        cut = chance.randrange(len(wire) + 1)
        read(wire[:cut], wire[cut:], limits=chance.choice((DEFAULT, SMALL)))
        behind(wire[cut:], cut, ended=chance.random() < 0.5)
