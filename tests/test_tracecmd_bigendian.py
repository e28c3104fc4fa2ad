"""trace.dat files of big-endian recorders: the rows of a file do not depend on the byte order it is written in.

No recording of such a machine is at hand: the files are made, and trace-cmd is the witness that they are what they claim.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from builders import tracedat as make
from builders.events import START, VERSIONS, Tables, read_bytes, recording

from replay.errors import TraceError
from replay.ingest.tracecmd import TraceCmdReader

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
Read = Callable[[bytes], tuple[Tables, dict[str, int], TraceCmdReader]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return partial(read_bytes, tmp_path)


@ORDERS
@pytest.mark.parametrize("long_bytes", [4, 8])
@VERSIONS
def test_rows_are_the_same_in_either_order(read: Read, build, long_bytes: int, order: str) -> None:
    """Times are cycles * 3 / 2; the second buffer comes after the first where times are equal."""
    tables, losses, reader = read(build(recording(order, long_bytes)))

    def ns(cycles: int) -> int:
        return (cycles * 3) >> 1

    assert [(row["ts"], row["cpu"], row["buffer"], row["n"], row["comm"]) for row in tables["wake"]] == [
        (ns(START), 0, "", -2, "pinload"),
        (ns(START + 1), 1, "", 3, "pinload"),
        (ns(START + 1), 0, "other", 3, "pinload"),
        (ns(START + 4 + (5 << 30) + 2), 0, "", 7, "pinload"),
        (ns(START + (10 << 30) + 1), 0, "", 8, "pinload"),
    ]
    assert [(row["ts"], row["path"], row["ids"], row["common_pid"]) for row in tables["open"]] == [
        (ns(START + 3), "/mnt/a", [2, 0x1234], 19)
    ]
    assert [(row["ts"], row["long"], row["pair"], row["on"], row["common_pid"]) for row in tables["wide"]] == [
        (ns(START + (9 << 30)), 0x0102030405060708, [-5, 600], True, -3)
    ]
    assert losses == {"kernel_lost_events": 5, "kernel_lost_unknown": 1}
    assert (reader.info.cpus, reader.info.clock_unit) == (2, "ns")


@VERSIONS
def test_cut_at_every_byte_it_is_an_error_or_a_counted_loss(read: Read, build) -> None:
    file = build(recording(">"))
    whole = sum(map(len, read(file)[0].values()))
    for size in range(0, len(file), 3):
        try:
            tables, losses, _ = read(file[:size])
        except TraceError:
            continue
        assert losses.get("truncated_bytes", 0) > 0
        assert sum(map(len, tables.values())) <= whole


def test_byte_order_is_one_of_two(read: Read) -> None:
    file = make.version_6(recording(">"))
    with pytest.raises(TraceError, match="expected byte order 0 or 1, found 2"):
        read(file[:12] + b"\2" + file[13:])


@pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")
@ORDERS
@VERSIONS
def test_trace_cmd_reads_the_same(tmp_path: Path, build, order: str) -> None:
    file = build(recording(order, page_bytes=4096))
    path = tmp_path / "made.dat"
    path.write_bytes(file)
    shown = subprocess.run(["trace-cmd", "report", "-R", "-t", str(path)], capture_output=True, check=False)
    if shown.returncode:
        pytest.skip(f"trace-cmd cannot read it: {shown.stderr.decode(errors='replace')[:80]}")
    lines = re.findall(r"-(-?\d+)\s+\[(\d+)\]\s*([\d.]+):\s+(\w+):", shown.stdout.decode())
    theirs = [(int(ts.replace(".", "")), int(cpu), event, int(pid)) for pid, cpu, ts, event in lines]
    tables, _, _ = read_bytes(tmp_path, file)
    mine = sorted((row["seq"], row["ts"], row["cpu"], event, row["common_pid"]) for event, rows in tables.items() for row in rows)
    assert [row[1:] for row in mine] == theirs
