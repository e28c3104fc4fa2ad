"""trace.dat files, made byte by byte, to raw tables: expected rows are written out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from builders import tracedat as make
from builders.events import FORMATS, START, VERSIONS, Tables, opened, read_bytes, trace, wake

from replay.ingest import tracecmd
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], tuple[Tables, dict[str, int], TraceCmdReader]]:
    return partial(read_bytes, tmp_path)


@VERSIONS
def test_every_field_of_every_kind(read, build) -> None:
    entries = make.data(0, wake(-1)) + make.data(3, opened(b"/mnt/caf\xc3\xa9", (2, 65535)))
    entries += make.long_data(5, make.payload(4, 17, struct.pack("<iiQQ", 2, 0, 2**64 - 1, 7)))
    tables, losses, reader = read(build(trace(make.page(START, entries))))
    common = {"cpu": 0, "buffer": "", "common_flags": 0, "common_preempt_count": 0}
    assert tables == {
        "wake": [{"seq": 0, "ts": START, **common, "common_type": 1301, "common_pid": 17, "n": -1, "comm": "pinload"}],
        "open": [{"seq": 1, "ts": START + 3, **common, "common_type": 1303, "common_pid": 19, "path": "/mnt/café", "ids": [2, 65535]}],
        "kernel_stack": [{"seq": 2, "ts": START + 8, **common, "common_type": 4, "common_pid": 17, "size": 2, "caller": [2**64 - 1, 7]}],
    }
    assert losses == {}
    assert reader.info.clock == "global"
    assert reader.info.clock_unit == "ns"
    assert reader.info.cmdlines == {17: "pinload"}
    assert reader.info.cpus == 1


@VERSIONS
def test_times_extend_jump_and_survive_discarded_entries(read, build) -> None:
    entries = b"".join(
        [
            make.data(2, wake(0)),
            make.time_extend((1 << 30) + 1),
            make.data(4, wake(1)),
            make.discarded(8, 24),
            make.data(16, wake(2)),
            make.absolute(START + (1 << 41)),
            make.data(32, wake(3)),
            make.end_of_page(),
            b"\xff" * 40,
        ]
    )
    tables, losses, _ = read(build(trace(make.page(START, entries))))
    after = START + 2 + (1 << 30) + 1 + 4
    assert [row["ts"] for row in tables["wake"]] == [START + 2, after, after + 24, START + (1 << 41) + 32]
    assert losses == {}


def test_absolute_times_keep_the_topmost_bits(read) -> None:
    high = 0xA8 << 56
    tables, _, _ = read(make.version_7(trace(make.page(high | 5, make.absolute(START) + make.data(1, wake(0))))))
    assert tables["wake"][0]["ts"] == (high | START + 1) - (1 << 64)


@VERSIONS
def test_cpus_and_buffers_are_merged_by_time_then_buffer_then_cpu(read, build) -> None:
    def cpu(first: int, *deltas: int) -> bytes:
        return make.page(START, b"".join(make.data(delta, wake(first + i)) for i, delta in enumerate(deltas)))

    made = make.Trace(
        FORMATS,
        [
            make.Instance("", [cpu(10, 5, 0, 6), cpu(20, 5, 2)]),
            make.Instance("gup", [b"", cpu(30, 1, 4, 100)]),
        ],
    )
    tables, _, reader = read(build(made))
    rows = tables["wake"]
    assert [row["n"] for row in rows] == [30, 10, 11, 20, 31, 21, 12, 32]
    assert [row["seq"] for row in rows] == list(range(8))
    assert [(row["buffer"], row["cpu"]) for row in rows][:4] == [("gup", 1), ("", 0), ("", 0), ("", 1)]
    assert reader.info.buffers == ("", "gup")


@VERSIONS
def test_many_pages_and_small_batches_give_the_same_rows(read, build, monkeypatch) -> None:
    pages = [
        b"".join(make.page(START + 1009 * i, b"".join(make.data(7, wake(cpu * 10_000 + i * 13 + k)) for k in range(13))) for i in range(41))
        for cpu in range(3)
    ]
    file = build(trace(*pages))
    whole, _, _ = read(file)
    monkeypatch.setattr(tracecmd, "BATCH_ROWS", 101)
    monkeypatch.setattr("replay.ingest.pages.SEGMENT_BYTES", 8192)
    monkeypatch.setattr("replay.ingest.merging._GROUP_BYTES", 5 * 4096)
    small, losses, _ = read(file)
    assert len(whole["wake"]) == 3 * 41 * 13
    assert [row["seq"] for row in whole["wake"]] == list(range(3 * 41 * 13))
    assert small == whole
    assert losses == {}


@VERSIONS
def test_lost_events_are_counted_per_cpu(read, build) -> None:
    entry = make.data(1, wake(0))
    first = make.page(START, entry, lost=17) + make.page(START + 9, entry) + make.page(START + 19, entry, lost=0)
    _, losses, reader = read(build(trace(first, make.page(START, entry, lost=23))))
    assert losses == {"kernel_lost_events": 40, "kernel_lost_unknown": 1}
    assert reader.losses.counts["kernel_lost_events", 0] == 17
    assert reader.losses.counts["kernel_lost_events", 1] == 23
    assert reader.losses.totals["kernel_lost_events"] == 44


def test_statistics_of_the_kernel_are_counted(read) -> None:
    text = b"CPU: 0\nentries: 5\noverrun: 11\ncommit overrun: 2\nbytes: 9\ndropped events: 4\nread events: 3\n\0"
    _, losses, reader = read(make.version_7(trace(make.page(START, make.data(1, wake(0))), options=[(2, text)])))
    assert losses == {"kernel_overruns": 17}
    assert reader.losses.counts["kernel_overruns", 0] == 17


def test_strings_end_at_nul_and_invalid_utf8_is_replaced(read) -> None:
    entries = make.data(0, wake(1, b"ab\0junk!")) + make.data(0, wake(2, b"\xff\xfeabcdef")) + make.data(0, wake(3, b""))
    tables, _, _ = read(make.version_6(trace(make.page(START, entries))))
    assert [row["comm"] for row in tables["wake"]] == ["ab", "\ufffd\ufffdabcdef", ""]


def test_a_32_bit_kernel(read) -> None:
    formats = [("sched", make.format_text("args", 1301, [("unsigned long args[2]", 8, 8, 0), ("void * p", 16, 4, 0)]))]
    body = make.payload(1301, 17, struct.pack("<III", 3, 5, 0xC0000000))
    pages = make.page(START, make.data(0, body), lost=7, long_bytes=4)
    tables, losses, _ = read(make.version_6(make.Trace(formats, [make.Instance("", [pages])], long_bytes=4)))
    assert tables["args"][0]["args"] == [3, 5]
    assert tables["args"][0]["p"] == 0xC0000000
    assert losses == {"kernel_lost_events": 7}


@pytest.mark.parametrize(
    ("clock", "unit"), [("mono_raw", "ns"), ("local", "ns"), ("x86-tsc", "cycles"), ("counter", "events"), ("new", "counts")]
)
@VERSIONS
def test_clocks_are_named(read, build, clock, unit) -> None:
    _, _, reader = read(build(trace(make.page(START, make.data(0, wake(1))), clock=clock)))
    assert (reader.info.clock, reader.info.clock_unit) == (clock, unit)


def test_a_tsc_is_converted_as_trace_cmd_does(read) -> None:
    """mult / 2^shift nanoseconds a cycle: (2^33 + 3) * 5 / 8, high and low half apart as in mul_u64_u32_shr."""
    option = (14, struct.pack("<IIQ", 5, 3, 99))
    made = trace(make.page((1 << 33) + 3, make.data(0, wake(1))), clock="x86-tsc", options=[option])
    tables, _, reader = read(make.version_7(made))
    assert tables["wake"][0]["ts"] == (3 * 5 >> 3) + (2 * 5 << 29)
    assert reader.info.clock_unit == "ns"


@pytest.mark.parametrize(("options", "shift"), [([(7, b"-1009\0")], -1009), ([(1, b"0x10\0")], 16_000), ([(7, b"7\0"), (7, b"010\0")], 15)])
def test_time_offsets_are_added(read, options, shift) -> None:
    tables, _, _ = read(make.version_7(trace(make.page(START, make.data(0, wake(1))), options=options)))
    assert tables["wake"][0]["ts"] == START + shift


def shift_option(flags: int, samples: list[tuple[int, int]]) -> tuple[int, bytes]:
    columns = [[time for time, _ in samples], [ahead for _, ahead in samples], [4] * len(samples)]
    body = struct.pack("<QIII", 1, flags, 1, len(samples))
    body += b"".join(struct.pack(f"<{len(samples)}q", *column) for column in columns)
    return 12, body + struct.pack(f"<{len(samples)}Q", *[2] * len(samples))


@pytest.mark.parametrize(
    ("flags", "samples", "expected"),
    [
        (0, [(START, 50)], [50, 150, 1050]),
        (0, [(START, 50), (START + 100, -70)], [50, 150, 1050]),
        (1, [(START, 50), (START + 200, 250)], [50, 250, 2050]),
        (1, [(START + 200, -150), (START, 50)], [50, 51, 51]),
        (0, [(START, 1), (START + 60, 2), (START + 500, 3), (START + 600, 4)], [1, 102, 1003]),
    ],
)
def test_a_guests_times_become_its_hosts(read, flags, samples, expected) -> None:
    """Scaling 4 / 2^2 is one; between samples the offset is the earlier one's, or interpolated (flag 1),
    rounded as C divides: the third sample falls by one a nanosecond, and -99.5 becomes -99."""
    pages = make.page(START, make.data(0, wake(1)) + make.data(100, wake(2)) + make.data(900, wake(3)))
    tables, _, _ = read(make.version_7(trace(pages, options=[shift_option(flags, samples)])))
    assert [row["ts"] - START for row in tables["wake"]] == expected


def test_progress_ends_at_the_total(tmp_path) -> None:
    path = tmp_path / "made.dat"
    path.write_bytes(make.version_6(trace(make.page(START, make.data(0, wake(1))) * 3, make.page(START, b""))))
    seen: list[tuple[int, int]] = []
    list(open_tracecmd(path).batches(lambda done, total: seen.append((done, total))))
    assert seen[-1] == (4 * 4096, 4 * 4096)
