"""Damaged, cut and hostile trace.dat files: an error or a counted loss, never a crash or a wrong row."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from builders import tracedat as make
from builders.events import FORMATS, START, VERSIONS, Tables, opened, read_bytes, trace, wake

from replay.errors import ReplayError, TraceError
from replay.ingest import sections
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], tuple[Tables, dict[str, int], TraceCmdReader]]:
    return partial(read_bytes, tmp_path)


def test_dynamic_data_outside_of_the_record_are_null_and_counted(read) -> None:
    bad = make.payload(1303, 19, struct.pack("<II", 16 | 9 << 16, 0))
    worse = make.payload(1303, 19, struct.pack("<II", 65535 | 1 << 16, 65535 << 16))
    entries = make.data(0, bad) + make.data(0, worse) + make.data(0, opened(b"fine"))
    tables, losses, _ = read(make.version_6(trace(make.page(START, entries))))
    assert [(row["path"], row["ids"]) for row in tables["open"]] == [(None, []), (None, None), ("fine", [])]
    assert losses == {"undecodable_fields": 3}


def test_values_together_take_no_more_than_their_record(read) -> None:
    """Two dynamic fields that claim the same bytes: a small record could otherwise fill any number of large columns."""
    greedy = make.payload(1303, 19, struct.pack("<II", 0 | 40 << 16, (65536 - 16) | 0 << 16) + b"x" * 24)
    twice = make.payload(1303, 19, struct.pack("<II", 16 | 24 << 16, 0 | 24 << 16) + b"x" * 24)
    tables, losses, _ = read(make.version_6(trace(make.page(START, make.data(0, greedy) + make.data(0, twice)))))
    assert [row["ids"] for row in tables["open"]] == [None, None]
    assert tables["open"][1]["path"] == "x" * 24
    assert losses == {"undecodable_fields": 2}


def test_records_without_a_format_are_counted_and_keep_their_place(read) -> None:
    entries = make.data(0, wake(1)) + make.data(0, make.payload(999, 1)) + make.data(0, wake(2))
    tables, losses, _ = read(make.version_6(trace(make.page(START, entries))))
    assert [row["seq"] for row in tables["wake"]] == [0, 2]
    assert losses == {"unknown_event_records": 1}


def test_a_record_that_lacks_a_scalar_is_counted(read) -> None:
    entries = make.data(0, make.payload(1301, 17)) + make.data(0, wake(2))
    tables, losses, _ = read(make.version_6(trace(make.page(START, entries))))
    assert [row["n"] for row in tables["wake"]] == [2]
    assert losses == {"undecodable_bytes": 8}


@pytest.mark.parametrize(
    ("damage", "bytes_lost"),
    [
        (struct.pack("<II", 0, 3), 8),
        (struct.pack("<II", 0, 4000), 8),
        (struct.pack("<II", 0, 0xFFFFFFFF), 8),
        (struct.pack("<I", 28), 4),
        (struct.pack("<I", 30 | 1 << 5), 4),
        (struct.pack("<I", 31 | 1 << 5), 4),
        (b"\x01\x02", 2),
    ],
)
def test_an_impossible_entry_costs_the_rest_of_its_page_only(read, damage, bytes_lost) -> None:
    pages = make.page(START, make.data(0, wake(1)) + damage) + make.page(START + 9, make.data(0, wake(2)))
    tables, losses, _ = read(make.version_6(trace(pages)))
    assert [row["n"] for row in tables["wake"]] == [1, 2]
    assert losses == {"undecodable_bytes": bytes_lost}


def test_a_page_that_says_it_holds_more_than_a_page_is_skipped(read) -> None:
    pages = make.page(START, make.data(0, wake(1)), commit=4081) + make.page(START + 9, make.data(0, wake(2)))
    tables, losses, _ = read(make.version_6(trace(pages)))
    assert [row["n"] for row in tables["wake"]] == [2]
    assert losses == {"undecodable_bytes": 4096}


@pytest.mark.parametrize("at", [-4, -3, 0, 4, 5, 9])
def test_a_damaged_chunk_costs_its_own_pages_only(read, at) -> None:
    """Chunks are decompressed together; `at` counts from the frame of the second one, before which its size stands."""
    pages = b"".join(make.page(START + n, make.data(0, wake(n))) for n in range(4))
    file = bytearray(make.version_7(trace(pages), "zstd", chunk_pages=1))
    frames = [found.start() for found in re.finditer(rb"\x28\xb5\x2f\xfd", file)][-4:]
    packed_bytes = int.from_bytes(file[frames[1] - 8 : frames[1] - 4], "little")
    file[frames[1] + at] ^= 0x15
    tables, losses, _ = read(bytes(file))
    assert [row["n"] for row in tables["wake"]] == [0, 2, 3]
    assert losses == {"undecodable_bytes": packed_bytes}


SMALL = trace(
    make.page(START, make.data(0, wake(1)) + make.data(3, opened(b"/mnt/a", (2, 3))), lost=5, page_bytes=256)
    + make.page(START + 7, make.data(0, wake(2)), page_bytes=256),
    make.page(START + 1, make.data(0, wake(3)), page_bytes=256),
    page_bytes=256,
)


@VERSIONS
def test_cut_at_every_byte_it_is_an_error_or_a_counted_loss(read, build) -> None:
    file = build(SMALL)
    whole, losses, _ = read(file)
    assert sum(map(len, whole.values())) == 4
    assert losses == {"kernel_lost_events": 5}
    for size in range(len(file)):
        try:
            tables, losses, _ = read(file[:size])
        except TraceError as error:
            refusal, tables = str(error), {}
        else:
            refusal = ""
        assert "made.dat" in refusal or losses.get("truncated_bytes", 0) > 0, size
        assert sum(map(len, tables.values())) <= 4


@pytest.mark.parametrize("build", [make.version_6, lambda trace: make.version_7(trace, "zstd")], ids=["v6", "v7-zstd"])
def test_any_byte_changed_is_no_crash(read, build) -> None:
    file = bytearray(build(SMALL))
    for at in range(len(file)):
        old = file[at]
        file[at] = (0x00, 0xFF, old ^ 0x10)[at % 3]
        try:
            tables, _, _ = read(bytes(file))
        except TraceError:
            pass
        else:
            assert sum(map(len, tables.values())) < 200
        file[at] = old


def refusal(tmp_path: Path, file: bytes) -> str:
    path = tmp_path / "bad.dat"
    path.write_bytes(file)
    with pytest.raises(TraceError) as caught:
        list(open_tracecmd(path).batches())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_trace_is_said_to_be_none(tmp_path) -> None:
    assert refusal(tmp_path, b"").endswith("the file is empty")
    assert refusal(tmp_path, b"hello\n").endswith("byte 0: not a trace.dat file")
    head = make.version_6(SMALL)
    assert "version '8' is not supported" in refusal(tmp_path, head[:10] + b"8" + head[11:])
    assert "the file ends inside of header_page" in refusal(tmp_path, head[:12] + b"\1" + head[13:])  # the other byte order
    assert "latency" in refusal(tmp_path, head.replace(b"flyrecord\0", b"latency  \0"))
    for path in (tmp_path / "absent.dat", tmp_path):
        with pytest.raises(ReplayError, match=str(path)):
            open_tracecmd(path)


def test_hostile_numbers_are_refused(tmp_path) -> None:
    file = make.version_7(SMALL, "zlib")
    chunk = file.index(b"\x78", file.index(b"\x03\0\1\0")) - 8
    big = file[: chunk + 4] + struct.pack("<I", 0x7FFFFFFF) + file[chunk + 8 :]
    assert "a chunk of 2147483647 bytes" in refusal(tmp_path, big)
    loop = bytearray(make.version_7(SMALL))
    options_at = struct.unpack_from("<Q", loop, 27)[0]
    struct.pack_into("<Q", loop, len(loop) - 8, options_at)
    assert "form a loop" in refusal(tmp_path, bytes(loop))
    overlap = make.version_6(SMALL)
    table = overlap.index(b"flyrecord\0") + 10
    assert "overlap" in refusal(tmp_path, overlap[: table + 16] + overlap[table : table + 8] + overlap[table + 24 :])


@pytest.mark.parametrize("filler", ["a", " ", "a;", "\n", "ID:", "name: ", "\tfield:a"])
def test_long_texts_take_no_longer_than_their_length(read, monkeypatch: pytest.MonkeyPatch, filler: str) -> None:
    """Half a megabyte in each text that is searched: a search that begins anew at every byte would take half an hour."""
    text = (filler * (1 << 19))[: 1 << 19]
    header = make._header_page(8, 4096)
    monkeypatch.setattr(make, "_header_page", lambda *_: header + text.encode())
    options = [(number, text.encode()) for number in (1, 2, 4, 5, 7, 32)]
    formats = (*FORMATS, ("gup", text), ("gup", f"name: x\nID: 5\nformat:\n{text}"))
    page = make.page(START, make.data(0, wake(1)))
    file = make.version_6(make.Trace(formats, [make.Instance("", (page,))], options, cmdlines=text))
    begin = time.process_time()
    assert len(read(file)[0]["wake"]) == 1
    assert time.process_time() - begin < 5


def test_a_small_file_cannot_fill_memory_with_pages_of_many_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 times 64 pages of 4 KiB, each a few hundred bytes packed."""
    monkeypatch.setattr(sections, "TRACE_SLACK_BYTES", 1 << 20)
    monkeypatch.setattr(sections, "TRACE_RATIO", 1)
    first = make.page(START, make.data(0, wake(1)))
    file = make.version_7(trace(*[first + bytes(63 * 4096)] * 40), "zstd", chunk_pages=64)
    assert len(file) < 1 << 17
    assert "a chunk of trace data decompresses to 262144 bytes, with the others more than can be right" in refusal(tmp_path, file)


def test_a_small_file_cannot_claim_millions_of_cpus(tmp_path: Path) -> None:
    """Version 6 buffers that share one table of CPUs: each option is 15 bytes, each CPU of each buffer an object."""
    file = make.version_6(trace(b"", b"", b""))
    table = file.index(b"flyrecord\0")
    again = (3, struct.pack("<Q", table + 15 * 22000) + b"\0")
    assert "more than 65536 CPUs" in refusal(tmp_path, make.version_6(trace(b"", b"", b"", options=[again] * 22000)))


def test_a_cut_behind_the_last_options_is_counted(tmp_path: Path) -> None:
    # The section of strings comes last: 16 bytes of header and 101 of strings in this recording.
    whole = (Path(__file__).parent.parent / "sample_traces" / "lease-dax.dat").read_bytes()
    for missing in range(118):
        path = tmp_path / f"{missing}.dat"
        path.write_bytes(whole[: len(whole) - missing])
        reader = open_tracecmd(path)
        for _ in reader.batches():
            pass
        assert reader.losses.count("truncated_bytes") == {117: 16}.get(missing, min(missing, 101) if missing < 102 else missing - 101)
