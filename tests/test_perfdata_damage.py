"""Cut, damaged and hostile perf.data files: an error or a counted loss, never a crash, a loop or a wrong row."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from builders import perfdata as make
from builders.samples import OPENS, START, WAKES, comm, mmap2, opened, read_bytes, usual, wake

from replay.errors import TraceError

LOSSES = {"truncated_bytes", "undecodable_bytes", "unknown_event_records", "samples_without_time", "skipped_records", "undecodable_fields"}
BUILDS = {
    "file": make.file_mode,
    "pipe": make.pipe_mode,
    "compressed": lambda recording: make.file_mode(
        make.Recording(recording.events, make.compressed(b"".join(recording.records), 3), recording.formats)
    ),
}


def small() -> make.Recording:
    records = [comm(b"perf", 0), mmap2(0x7000, 0x2000, 0, 12, 0)]
    records += [wake(n, START + n) for n in range(5)] + [opened(b"/f", START + n, chain=(1, 2)) for n in range(3)]
    return usual(records)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_cut_anywhere_it_is_an_error_or_a_counted_loss(tmp_path: Path, build) -> None:
    file = build(small())
    whole = {key: [{**row, "seq": 0} for row in rows] for key, rows in read_bytes(tmp_path, file)[0].items()}
    refusals = []
    for size in range(0, len(file), 11):
        try:
            tables, losses, _ = read_bytes(tmp_path, file[:size])
        except TraceError as error:
            refusals.append(str(error))
            continue
        # In pipe mode nothing tells that something is missing behind a whole record.
        assert losses or build is make.pipe_mode, size
        for key in whole.keys() & tables.keys() - {("perf", "mmap2"), ("perf", "comm")}:
            assert [{**row, "seq": 0} for row in tables[key]] == whole[key][: len(tables[key])]
    assert all("perf.data: " in refusal and "\n" not in refusal for refusal in refusals)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_changed_bytes_never_crash(tmp_path: Path, build) -> None:
    file = build(small())
    rng = random.Random(71)
    for _ in range(211):
        changed = bytearray(file)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(changed))
            changed[at] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        with suppress(TraceError):
            tables, losses, _ = read_bytes(tmp_path, bytes(changed))
            assert set(losses) <= LOSSES | {"kernel_lost_events", "kernel_lost_samples", "kernel_lost_unknown"}
            assert sum(map(len, tables.values())) <= len(file) // 8


def patched(at: int, value: bytes, file: bytes | None = None) -> bytes:
    file = make.file_mode(small()) if file is None else file
    return file[:at] + value + file[at + len(value) :]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"PERFFILE" + bytes(96), "version 1 is not supported"),
        (b"2ELIFREP" + bytes(96), "a header of 0 bytes"),
        (b"PERFILE2" + make.words(16), "no event"),
        (b"PERFILE2" + make.words(40) + bytes(96), "a header of 40 bytes"),
        (patched(16, make.words(8)), "attributes of 8 bytes"),
        (patched(16, make.words(1 << 40)), "attributes of"),
        (patched(24, make.words(1 << 62)), "outside of the file"),
        (patched(32, make.words(1 << 62)), "events cannot be right"),
        (patched(40, make.words(1 << 62)), "outside of the file"),
    ],
)
def test_a_head_that_cannot_be_right_is_refused_in_one_line(tmp_path: Path, file: bytes, message: str) -> None:
    with pytest.raises(TraceError, match=message) as refused:
        read_bytes(tmp_path, file)
    assert "\n" not in str(refused.value)


def test_many_events_cannot_claim_the_same_ids(tmp_path: Path) -> None:
    """Each entry names the whole file as its ids: quadratic, if it were allowed."""
    entry = WAKES.attr() + make.words(0, 8192)
    file = b"PERFILE2" + make.words(104, len(entry), 104, 64 * len(entry), 104 + 64 * len(entry), 0, 0, 0) + bytes(32) + 64 * entry
    with pytest.raises(TraceError, match="more ids"):
        read_bytes(tmp_path, file)


def test_a_small_file_cannot_decompress_to_any_size(tmp_path: Path) -> None:
    """A gigabyte of nothing takes 30 KB; what is over the stated multiple is left, and counted."""
    packed = make.compressed(bytes(1 << 27), 1)
    pieces = [packed[0][8:][at : at + 60000] for at in range(0, len(packed[0]), 60000)]
    records = [struct.pack("<IHH", make.COMPRESSED, 0, 8 + len(piece)) + piece for piece in pieces]
    tables, losses, _ = read_bytes(tmp_path, make.file_mode(usual([wake(1, START), *records])))
    assert [row["n"] for row in tables["sched", "wake"]] == [1]
    assert 0 < losses["undecodable_bytes"] < 1 << 25


@pytest.mark.parametrize("size", [1 << 31, 1 << 63, (1 << 64) - 8])
def test_a_hardware_trace_longer_than_the_file_ends_the_reading(tmp_path: Path, size: int) -> None:
    trace = make.record(71, make.words(size, 0, 0, 0, 0))
    tables, losses, _ = read_bytes(tmp_path, make.file_mode(usual([wake(1, START), trace, wake(2, START)])))
    assert [row["n"] for row in tables["sched", "wake"]] == [1]
    assert losses == {"undecodable_bytes": len(trace) + len(wake(2, START))}


def test_a_trailer_longer_than_its_record_is_counted(tmp_path: Path) -> None:
    bad = make.record(make.LOST, b"")
    tables, losses, _ = read_bytes(tmp_path, make.file_mode(usual([wake(1, START), bad], WAKES, OPENS)))
    assert list(tables) == [("sched", "wake")]
    assert losses == {"undecodable_bytes": 8}
