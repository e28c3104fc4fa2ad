"""perf.data of big-endian machines: what a file holds does not depend on the byte order it is written in.

No recording of such a machine is at hand: the files are made, and perf is the witness that they are what they claim.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from builders import perfdata as make
from builders.perfmachine import Machine
from builders.samples import START, read_bytes

from replay.ingest.pipeline import ingest_file
from replay.store import Store

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])


def expect(tmp_path: Path, file: bytes) -> None:
    tables, losses, reader = read_bytes(tmp_path, file)
    (wake,), (clock,), (mapped,) = tables["sched", "wake"], tables["perf", "clock"], tables["perf", "mmap2"]
    assert (wake["ts"], wake["cpu"], wake["n"], wake["comm"], wake["common_pid"]) == (START + 2, 3, -7, "pinload", 17)
    assert (wake["sample_ip"], wake["sample_pid"], wake["sample_misc"]) == (0xFFFF1234, 11, 1)
    assert (clock["ts"], clock["tid"], clock["callchain"], clock["weight"]) == (START + 5, 17, [0xAA, 0xBB, 0xCC], 99)
    assert (mapped["addr"], mapped["pgoff"], mapped["maj"], mapped["min"]) == (0x7F0000000000, 4096, 254, 16)
    assert (mapped["ino"], mapped["ino_generation"], mapped["filename"], mapped["ts"]) == (13, 7, "/data/f", START + 1)
    assert (tables["perf", "fork"][0]["tid"], tables["perf", "lost"][0]["lost"]) == (12, 5)
    assert losses == {"kernel_lost_events": 5, "skipped_records": 1}
    info = reader.info
    assert (info.cpus, info.clock, info.tgids[17], info.cmdlines) == (8, "mono", 11, {7: "saved", 17: "app", 12: "app"})


@ORDERS
@pytest.mark.parametrize("long_bytes", [4, 8])
def test_a_file_means_the_same_in_either_order(tmp_path: Path, order: str, long_bytes: int) -> None:
    machine = Machine(order, long_bytes)
    expect(tmp_path, machine.file(b"".join(machine.records())))


@ORDERS
def test_a_pipe_means_the_same_in_either_order(tmp_path: Path, order: str) -> None:
    machine = Machine(order)
    expect(tmp_path, machine.pipe(b"".join(machine.records())))


@ORDERS
@pytest.mark.parametrize("kind", [make.COMPRESSED, make.COMPRESSED2])
def test_compressed_records_mean_the_same_in_either_order(tmp_path: Path, order: str, kind: int) -> None:
    machine = Machine(order)
    expect(tmp_path, machine.file(machine.compressed(kind)))


def test_ingest_recognises_a_big_endian_file(tmp_path: Path) -> None:
    machine = Machine(">")
    (tmp_path / "perf.data").write_bytes(machine.file(b"".join(machine.records())))
    summary = ingest_file(Store(tmp_path / "store", create=True), str(tmp_path / "perf.data"))
    assert summary.found["operations"] == {"mmap": 1, "fork": 1}


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
@ORDERS
def test_perf_reads_the_same(tmp_path: Path, order: str) -> None:
    machine = Machine(order)
    path = tmp_path / "perf.data"
    # Without the record of no known type: perf can take none from a machine of another byte order.
    path.write_bytes(machine.file(b"".join(machine.records()[:-1])))
    fields = ("--ns", "-F", "comm,pid,tid,time,event,trace", "--show-mmap-events", "--show-task-events", "--show-lost-events")
    shown = subprocess.run(["perf", "script", "-f", "-i", str(path), *fields], capture_output=True, text=True, check=False)
    assert "sched:wake:" in shown.stdout, shown.stderr
    assert re.search(r"app +11/17 +1099\.511627778: +sched:wake: +n=-7 comm=pinload", shown.stdout)
    assert "0x7f0000000000(0x10000) @ 0x1000 fe:10 13 7" in shown.stdout
