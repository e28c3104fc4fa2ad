"""perf.data files made by hand: which rows, times, tasks and losses come out of which bytes."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import pytest
from builders import perfdata as make
from builders import tracedat
from builders.samples import CYCLES, START, USUAL, WAKES, PerfRead, comm, family, mmap2, opened, read_bytes, trailer, usual, wake
from builders.shown import shown

from replay.ingest.lowering import Lowering


@pytest.fixture
def read(tmp_path: Path) -> PerfRead:
    return partial(read_bytes, tmp_path)


MODES = pytest.mark.parametrize("build", [make.file_mode, make.pipe_mode], ids=["file", "pipe"])


@MODES
def test_events_of_different_forms_are_merged_by_time(read: PerfRead, build) -> None:
    first = [wake(n, START + 10 * n, cpu=0) for n in range(7)]
    second = [opened(b"/f%d" % n, START + 10 * n + 5, cpu=3, chain=(1, 2, n), number=42) for n in range(5)]
    tables, losses, reader = read(build(usual([*first, *second, make.record(make.FINISHED_ROUND, b"")])))
    wakes, opens = tables["sched", "wake"], tables["gup", "open"]
    assert [(row["seq"], row["ts"], row["cpu"], row["n"]) for row in wakes] == [
        (seq, START + 10 * n, 0, n) for n, seq in enumerate((0, 2, 4, 6, 8, 10, 11))
    ]
    assert [(row["seq"], row["ts"], row["cpu"], row["path"]) for row in opens] == [
        (2 * n + 1, START + 10 * n + 5, 3, f"/f{n}") for n in range(5)
    ]
    assert wakes[3] == {
        "seq": 6,
        "ts": START + 30,
        "cpu": 0,
        "buffer": "",
        "n": 3,
        "comm": "pinload",
        "common_type": 1301,
        "common_flags": 0,
        "common_preempt_count": 0,
        "common_pid": 17,
        "sample_misc": 1,
        "sample_identifier": 31,
        "sample_ip": 0xFFFF1234,
        "sample_pid": 11,
        "sample_tid": 17,
        "sample_period": 1,
    }
    assert (opens[4]["ip"], opens[4]["sample_addr"], opens[4]["sample_callchain"]) == (-5, 0xADD0, [1, 2, 4])
    assert losses == {}
    assert (reader.info.tgids, reader.info.cpus) == ({17: 11, 19: 19}, 4)
    assert reader.info.format == ("perf.data" if build is make.file_mode else "perf.data pipe")


def test_equal_times_keep_the_order_of_the_file(read: PerfRead) -> None:
    tables, _, _ = read(make.file_mode(usual([wake(n, START, cpu=cpu) for n, cpu in enumerate((3, 1, 2, 0, 1))])))
    assert [row["n"] for row in tables["sched", "wake"]] == [0, 1, 2, 3, 4]


def test_without_an_identifier_the_id_behind_the_time_tells_the_event(read: PerfRead) -> None:
    """The two events differ only behind the ID: period or not."""
    kind = make.TID | make.TIME | make.ID | make.CPU
    events = [make.Event(7, kind | make.PERIOD, (31,), type=1, name="a"), make.Event(8, kind, (32,), type=1, name="b")]
    records = [
        make.record(
            make.SAMPLE, make.pair(11, 17) + make.words(START + n, 31 + n % 2) + make.pair(n, 0) + make.words(*[90 + n] * (n % 2 == 0))
        )
        for n in range(5)
    ]
    tables, losses, _ = read(make.file_mode(make.Recording(events, records)))
    assert [(row["id"], row["cpu"], row["period"]) for row in tables["perf", "a"]] == [(31, 0, 90), (31, 2, 92), (31, 4, 94)]
    assert [(row["id"], row["cpu"]) for row in tables["perf", "b"]] == [(32, 1), (32, 3)]
    assert losses == {}


def test_an_id_that_no_event_has_is_counted(read: PerfRead) -> None:
    tables, losses, _ = read(make.file_mode(usual([wake(1, START), wake(2, START + 1, number=99), wake(3, START + 2, number=0)])))
    assert [row["n"] for row in tables["sched", "wake"]] == [1, 3]
    assert losses == {"unknown_event_records": 1}


@pytest.mark.parametrize("group", [False, True])
def test_what_is_stepped_over_leaves_later_fields_right(read: PerfRead, group: bool) -> None:
    """Every optional field at once: reads, callchain, raw, branches, registers, stack, then the fields that have columns."""
    kind = (1 << 25) - 1 & ~make.WEIGHT_STRUCT
    event = make.Event(
        *(5, kind, (31,)),
        type=4,
        name="mem-loads",
        read_format=1 | 2 | 4 | 16 | (8 if group else 0),
        branch_type=1 << 17 | 1 << 19,
        user_registers=0b10110,
        interrupt_registers=0b11,
    )
    reads = make.words(2, 100, 200, *(1, 31, 0), *(2, 32, 0)) if group else make.words(9, 100, 200, 31, 0)
    body = make.words(31, 0xF00) + make.pair(11, 17) + make.words(START, 0xADD0, 31, 77) + make.pair(2, 0) + make.words(4000)
    body += reads + make.words(3, 0xC1, 0xC2, 0xC3) + make.raw(b"\x01\x02\x03\x04")
    body += make.words(2, 5) + make.words(*range(6)) + make.words(*range(2))  # two branches of three words, with counters
    body += make.words(2, 11, 12, 13)  # user registers
    body += make.words(16) + b"s" * 16 + make.words(8)  # stack
    body += make.words(51, 52, 53)  # weight, data_src, transaction
    body += make.words(0)  # interrupt registers: none
    body += make.words(61, 62, 63, 64)  # phys_addr, cgroup, page sizes
    body += make.words(8) + b"a" * 8
    tables, losses, _ = read(make.file_mode(make.Recording([event], [make.record(make.SAMPLE, body)])))
    (row,) = tables["perf", "mem-loads"]
    assert (row["raw"], row["callchain"], row["period"], row["stream_id"]) == ([1, 2, 3, 4], [0xC1, 0xC2, 0xC3], 4000, 77)
    assert [row[name] for name in ("weight", "data_src", "transaction")] == [51, 52, 53]
    assert [row[name] for name in ("phys_addr", "cgroup", "data_page_size", "code_page_size")] == [61, 62, 63, 64]
    assert losses == {}


@pytest.mark.parametrize("lie", [1 << 63, 1 << 32, 3])
def test_a_callchain_longer_than_its_sample_is_counted(read: PerfRead, lie: int) -> None:
    event = make.Event(0, CYCLES, (31,), type=0)
    head = make.words(31, 0xF00) + make.pair(11, 17)
    good = make.record(make.SAMPLE, head + make.words(START, 1, 2, 0xC1, 0xC2))
    bad = make.record(make.SAMPLE, head + make.words(START, 1, lie, 0xC1, 0xC2))
    tables, losses, _ = read(make.file_mode(make.Recording([event], [bad, good])))
    assert [row["callchain"] for row in tables["perf", "cycles"]] == [[0xC1, 0xC2]]
    assert losses == {"undecodable_bytes": len(bad)}


def test_samples_without_a_format_keep_their_bytes(read: PerfRead) -> None:
    tables, losses, _ = read(make.file_mode(make.Recording([WAKES], [wake(3, START)])))
    (row,) = tables["perf", "sched:wake"]
    assert bytes(row["raw"][:12]) == tracedat.payload(1301, 17, struct.pack("<i", 3))
    assert losses == {}


def test_samples_without_a_time_are_counted(read: PerfRead) -> None:
    event = make.Event(0, make.IP | make.TID, (), type=1)
    tables, losses, _ = read(
        make.file_mode(make.Recording([event], [make.record(make.SAMPLE, make.words(n) + make.pair(1, 1)) for n in range(3)]))
    )
    assert [(row["ip"], row["ts"]) for row in tables["perf", "cpu-clock"]] == [(0, 0), (1, 0), (2, 0)]
    assert losses == {"samples_without_time": 3}


def test_tasks_and_mappings_are_tables_and_names(read: PerfRead) -> None:
    records = [
        comm(b"perf", 0, 11, 11),
        mmap2(0x7000, 0x2000, 0x3000, 12, 0, pid=11, tid=11),
        family(make.FORK, START + 2, 13, 11, 13, 11),
        family(make.FORK, START + 3, 13, 13, 15, 13),
        comm(b"pinload", START + 4, 13, 13, misc=make.COMM_EXEC),
        family(make.EXIT, START + 9, 13, 13, 15, 15),
        wake(1, START + 1),
    ]
    tables, losses, reader = read(make.file_mode(usual(records)))
    (mapping,) = tables["perf", "mmap2"]
    assert mapping == {
        "seq": 1,
        "ts": START + 1,
        "cpu": 0,
        "buffer": "",
        "misc": 0,
        "pid": 11,
        "tid": 11,
        "addr": 0x7000,
        "len": 0x2000,
        "pgoff": 0x3000,
        "maj": 254,
        "min": 16,
        "ino": 12,
        "ino_generation": 7,
        "prot": 3,
        "flags": 1,
        "filename": "/data/f",
        "sample_pid": 11,
        "sample_tid": 11,
        "sample_time": 0,
        "sample_identifier": 31,
    }
    assert [(row["tid"], row["ptid"], row["time"]) for row in tables["perf", "fork"]] == [(13, 11, START + 2), (15, 13, START + 3)]
    assert [(row["comm"], row["misc"], row["seq"]) for row in tables["perf", "comm"]] == [("perf", 0, 0), ("pinload", make.COMM_EXEC, 5)]
    assert reader.info.cmdlines == {7: "saved", 11: "perf", 13: "pinload", 15: "perf"}
    assert reader.info.tgids == {11: 11, 13: 13, 15: 13, 17: 11}
    assert losses == {}


def test_lost_events_and_samples_are_counted_by_cpu(read: PerfRead) -> None:
    lost = make.record(make.LOST, make.words(31, 23) + trailer(START + 1, cpu=1))
    absurd = make.record(make.LOST, make.words(31, 1 << 60) + trailer(START + 2, cpu=1))
    samples = make.record(make.LOST_SAMPLES, make.words(5) + trailer(START + 3))
    tables, losses, reader = read(make.file_mode(usual([wake(1, START), lost, absurd, samples])))
    assert losses == {"kernel_lost_events": 23, "kernel_lost_unknown": 1, "kernel_lost_samples": 5}
    assert reader.losses.counts["kernel_lost_events", 1] == 23
    assert [row["lost"] for row in tables["perf", "lost"]] == [23, 1 << 60]


def test_unknown_records_are_skipped_by_size_and_counted(read: PerfRead) -> None:
    strange = [make.record(30, b"kernel of 2031.." * 3), make.record(1000, b"perf of 2031")]
    tables, losses, _ = read(make.file_mode(usual([wake(1, START), *strange, wake(2, START + 1)])))
    assert [row["n"] for row in tables["sched", "wake"]] == [1, 2]
    assert losses == {"skipped_records": 2}


@pytest.mark.parametrize("kind", [make.COMPRESSED, make.COMPRESSED2])
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("pieces", [1, 5, 13])
def test_compressed_records_go_on_over_their_borders(read: PerfRead, kind: int, end: bool, pieces: int) -> None:
    plain = b"".join(wake(n, START + n) for n in range(97))
    packed = make.compressed(plain, pieces, kind, end=end)
    assert len(packed) == pieces
    tables, losses, _ = read(make.file_mode(usual([comm(b"pinload", 0), *packed, make.record(make.FINISHED_ROUND, b"")])))
    assert [row["n"] for row in tables["sched", "wake"]] == list(range(97))
    assert losses == {}


def test_a_size_that_wrapped_is_told_by_the_size_of_the_data(read: PerfRead) -> None:
    """perf up to 6.17: header.size is 0 where the aligned size is 2^16, and no padding is written."""
    noise = struct.unpack("<8192Q", b"".join(bytes([n * n * 7919 >> 5 & 255]) for n in range(1 << 16)))
    plain = b"".join(make.record(200, make.words(*noise[at : at + 64])) for at in range(0, 8192, 64)) + wake(7, START)
    (packed,) = make.compressed(plain, 1, make.COMPRESSED)
    body = packed[8:]
    wrapped = struct.pack("<IHH", make.COMPRESSED2, 0, 0) + make.words(len(body)) + body
    tables, losses, _ = read(make.file_mode(usual([wrapped, wake(8, START + 1)])))
    assert [row["n"] for row in tables["sched", "wake"]] == [7, 8]
    assert losses == {"skipped_records": 128}


def test_damaged_compression_loses_what_follows_only(read: PerfRead) -> None:
    plain = b"".join(wake(n, START + n) for n in range(89))
    packed = make.compressed(plain, 7)
    damaged = packed[3][:8] + b"\xff" * (len(packed[3]) - 8)
    tables, losses, _ = read(make.file_mode(usual([*packed[:3], damaged, *packed[4:]])))
    seen = [row["n"] for row in tables["sched", "wake"]]
    whole = 3 * -(-len(plain) // 7) // len(wake(0, START))
    assert seen == list(range(whole))
    assert losses["undecodable_bytes"] > sum(len(piece) - 8 for piece in packed[3:])


@MODES
def test_a_record_of_no_size_ends_the_reading(read: PerfRead, build) -> None:
    rest = wake(2, START + 1)
    tables, losses, _ = read(build(usual([wake(1, START), bytes(8), rest])))
    assert [row["n"] for row in tables["sched", "wake"]] == [1]
    assert losses == {"undecodable_bytes": 8 + len(rest)}


def test_a_recording_that_was_killed_is_read_to_its_end(read: PerfRead) -> None:
    """perf writes the size of the records last."""
    recording = make.Recording([WAKES], [wake(n, START + n) for n in range(5)])
    tables, losses, _ = read(make.file_mode(recording, data_bytes=0)[: -len(recording.all_features()[12]) - 16])
    assert len(tables["perf", "2:0x515"]) == 5
    assert losses == {"truncated_bytes": 16}


def test_the_clock_and_the_machine_are_told(read: PerfRead) -> None:
    event = make.Event(1301, USUAL, (31,), clockid=1)
    release = struct.pack("<I", 16) + b"6.1.0-56-amd64\0\0"
    _, _, reader = read(make.file_mode(usual([wake(1, START)], event, features={4: release, 7: struct.pack("<II", 5, 7)})))
    info = reader.info
    assert (info.clock, info.uname, info.cpus) == ("mono", "6.1.0-56-amd64", 7)
    features = {29: struct.pack("<IIQQ", 1, 4, 0, 0)}
    assert read(make.file_mode(usual([wake(1, START)], features=features)))[2].info.clock == "mono_raw"


def test_pins_are_resolved_through_perfs_own_mappings(read: PerfRead) -> None:
    """One pin of three pages at 0x9000, which lies two pages into a mapping of file page 3 on: made before the trace began."""
    call = (
        "gup",
        tracedat.format_text("pin_user_pages_fast", 21, [("u64 start", 8, 8, 0), ("s32 nr_pages", 16, 4, 1), ("u32 gup_flags", 20, 4, 0)]),
    )
    back = ("gup", tracedat.format_text("pin_user_pages_fast__return", 22, [("s64 ret", 8, 8, 1)]))
    kind = make.IDENTIFIER | make.TID | make.TIME | make.CPU | make.RAW

    def sample(number: int, ts: int, payload: bytes) -> bytes:
        head = make.words(number) + make.pair(11, 17) + make.words(ts) + make.pair(0, 0)
        return make.record(make.SAMPLE, head + make.raw(tracedat.payload(number, 17, payload)))

    records = [
        mmap2(0x7000, 0x8000, 0x3000, 12, 0, pid=11, tid=11),
        mmap2(0x7000, 0x8000, 0x3000, 13, START + 5, pid=11, tid=11),
        sample(21, START + 1, struct.pack("<QiI", 0x9000, 3, 1)),
        sample(22, START + 2, struct.pack("<q", 3)),
    ]
    events = [make.Event(21, kind, (21,)), make.Event(22, kind, (22,))]
    reader = read(make.file_mode(make.Recording(events, records, (call, back))))[2]
    lowering = Lowering(reader.info, reader.losses)
    for batch in reader.batches():
        lowering.add(batch)
    tables = lowering.finish().tables
    (pin,) = tables["pins"].to_pylist()
    assert (pin["file"], pin["index"], pin["npages"], pin["tgid"], pin["id_source"]) == ("254:16:12", 5, 3, 11, "mapping")
    assert [(row["op"], row["file"], row["index"], row["ts"]) for row in shown("events", tables["events"]) if row["op"] == "mmap"] == [
        ("mmap", "254:16:12", 3, START + 1),
        ("mmap", "254:16:13", 3, START + 5),
    ]
