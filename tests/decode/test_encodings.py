"""Content-encodings: undone as far as the bytes came, and bounded."""

import gzip
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import DEFAULT, Limits
from collector.decode.encodings import codings, unpack

TEXT = "".join(f'data: {{"n":{number},"text":"token {number}"}}\n\n' for number in range(400)).encode()


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}


def flushed(name, pieces):
    """Each piece flushed, as proxies do with streams; without the end."""
    if name == "gzip":
        packer = zlib.compressobj(wbits=31)
        return [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    if name == "br":
        packer = brotli.Compressor()
        return [packer.process(piece) + packer.flush() for piece in pieces]
    packer = zstandard.ZstdCompressor().compressobj()
    return [packer.compress(piece) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for piece in pieces]


def test_the_header_lists_codings_in_the_order_they_were_applied():
    assert codings(" GZIP, identity,br ,x-gzip,") == ["gzip", "br", "gzip"]
    assert codings("identity") == []


@pytest.mark.parametrize("name", PACK)
def test_each_coding_comes_back(name):
    unpacked = unpack(PACK[name](TEXT), [name], (), DEFAULT)
    assert (unpacked.data, unpacked.whole, unpacked.problem) == (TEXT, True, None)


def test_raw_deflate_comes_back():
    assert unpack(raw_deflate(TEXT), ["deflate"], (), DEFAULT).data == TEXT


@given(st.binary(min_size=1, max_size=64), st.integers(1, 5))
def test_raw_deflate_is_recognised_however_it_is_cut(data, width):
    packed = raw_deflate(data)
    cuts = range(width, len(packed) + width, width)
    assert unpack(packed, ["deflate"], cuts, DEFAULT).data == data


@pytest.mark.parametrize("names", [["br", "gzip"], ["gzip", "zstd"], ["deflate", "br", "gzip", "zstd"]])
def test_stacked_codings_come_back(names):
    body = TEXT
    for name in names:
        body = PACK[name](body)
    assert unpack(body, names, (), DEFAULT).data == TEXT


def test_gzip_of_several_members_and_with_padding():
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    for width in range(1, 12):
        assert unpack(body, ["gzip"], range(width, len(body), width), DEFAULT).data == b"one two"
    assert unpack(body + bytes(7), ["gzip"], (), DEFAULT).data == b"one two"


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_a_cut_stream_decodes_as_far_as_it_came(name):
    pieces = [b"first event\n\n", b"second event\n\n", b"third event\n\n"]
    packed = flushed(name, pieces)
    unpacked = unpack(b"".join(packed[:2]) + packed[2][:1], [name], (), DEFAULT)
    assert unpacked.data.startswith(b"first event\n\nsecond event\n\n")
    assert unpacked.problem is None


def test_a_cut_gzip_stream_says_that_it_is_not_whole():
    assert not unpack(gzip.compress(TEXT)[:-9], ["gzip"], (), DEFAULT).whole
    assert not unpack(brotli.compress(TEXT)[:-3], ["br"], (), DEFAULT).whole
    assert not unpack(zlib.compress(TEXT)[:-5], ["deflate"], (), DEFAULT).whole


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_the_decoded_size_after_each_chunk_is_known(name):
    pieces = [b"first event\n\n", b"second event\n\n", b"third event\n\n"]
    packed = flushed(name, pieces)
    cuts = [len(b"".join(packed[: count + 1])) for count in range(3)]
    assert unpack(b"".join(packed), [name], cuts, DEFAULT).ends == [13, 27, 40]


@given(st.sampled_from(sorted(PACK)), st.lists(st.integers(0, 400), max_size=20))
def test_cuts_never_change_the_bytes(name, cuts):
    body = PACK[name](TEXT)
    unpacked = unpack(body, [name], sorted(cuts), DEFAULT)
    assert unpacked.data == TEXT
    assert len(unpacked.ends) == len(cuts)
    assert unpacked.ends == sorted(unpacked.ends)


@pytest.mark.slow
@pytest.mark.parametrize("name", PACK)
def test_a_bomb_is_stopped_by_its_ratio(name):
    bomb = PACK[name](bytes(64 << 20))
    limits = Limits(decoded_bytes=32 << 20, ratio=50)
    tracemalloc.start()
    try:
        unpacked = unpack(bomb, [name], (), limits)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "times its size" in unpacked.problem
    assert not unpacked.whole
    assert len(unpacked.data) < 4 << 20
    assert peak < 24 << 20


@pytest.mark.parametrize("name", PACK)
def test_a_large_body_is_stopped_at_its_size(name):
    body = PACK[name](TEXT * 40)
    unpacked = unpack(body, [name], (), Limits(decoded_bytes=100_000, ratio=10_000))
    assert len(unpacked.data) == 100_000
    assert "more than 100000 bytes" in unpacked.problem


@pytest.mark.slow
def test_a_stacked_bomb_is_stopped():
    bomb = gzip.compress(gzip.compress(bytes(256 << 20)))
    assert "the rest is not read" in unpack(bomb, ["gzip", "gzip"], (), DEFAULT).problem


def test_a_zstd_window_beyond_the_limit_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = packer.compress(TEXT) + packer.flush()
    assert "damaged" in unpack(body, ["zstd"], (), DEFAULT).problem


def test_an_unknown_coding_is_named():
    assert unpack(b"abc", ["snappy"], (3,), DEFAULT).problem == "content-encoding 'snappy' is not known"


def test_too_many_codings_are_refused():
    assert "more than 4" in unpack(b"abc", ["gzip"] * 5, (), DEFAULT).problem


@pytest.mark.parametrize("name", PACK)
def test_damaged_bytes_are_told_and_what_came_before_is_kept(name):
    body = PACK[name](bytes(range(256)) * 2000 + TEXT)
    damaged = body[: len(body) // 2] + b"\xff" * 64 + body[len(body) // 2 :]
    unpacked = unpack(damaged, [name], (), Limits(ratio=100_000))
    assert unpacked.problem is None or "damaged" in unpacked.problem
    assert unpack(b"\xff\xfe\xfd not encoded", [name], (), DEFAULT).data == b""
