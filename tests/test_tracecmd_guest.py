"""trace.dat files of a host and its guest, recorded together: the guest's times become the host's, CPU by CPU."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from builders import tracedat as make
from builders.events import START, VERSIONS, read_bytes, trace, wake

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
NONE = pytest.mark.parametrize("build", [make.version_6, make.version_7], ids=["v6", "v7"])
TRACEID, TIME_SHIFT, GUEST, TSC2NSEC = 11, 12, 13, 14
HOST_ID, GUEST_ID = 0x1122334455667788, 0x99AABBCCDDEEFF00
Sample = tuple[int, int, int, int]


def time_shift(cpus: list[list[Sample]], order: str, flags: int = 0) -> tuple[int, bytes]:
    """Samples are (time, offset, scaling, fraction): of each CPU its times, offsets and scalings; of each then its fractions."""
    body = struct.pack(order + "QII", HOST_ID, flags, len(cpus))
    for samples in cpus:
        body += struct.pack(order + "I", len(samples))
        for column in range(3):
            body += struct.pack(f"{order}{len(samples)}q", *(sample[column] for sample in samples))
    for samples in cpus:
        body += struct.pack(f"{order}{len(samples)}Q", *(sample[3] for sample in samples))
    return TIME_SHIFT, body


def pages(order: str, *times: int) -> bytes:
    deltas = (after - before for before, after in pairwise((0, *times)))
    entries = b"".join(make.data(delta, wake(n, order=order), order) for n, delta in enumerate(deltas))
    return make.page(START, entries, order=order)


def guest(order: str) -> make.Trace:
    """CPU 0 has one sample, which says by how much it is behind; CPU 1 two, between which the offset is interpolated,
    and its clock runs at 3/2 of the host's."""
    zero = [(START, 1000, 1, 0)]
    one = [(START, 100, 3, 1), (START + 200, 300, 3, 1)]
    options = [(TRACEID, struct.pack(order + "Q", GUEST_ID)), time_shift([zero, one], order, flags=1)]
    return trace(pages(order, 0, 50), pages(order, 20, 100, 400), order=order, options=options)


def host(order: str) -> make.Trace:
    named = b"vm\0" + struct.pack(order + "QI4I", GUEST_ID, 2, 0, 4711, 1, 4712)
    options = [(TRACEID, struct.pack(order + "Q", HOST_ID)), (GUEST, named)]
    return trace(pages(order, 5), b"", order=order, options=options)


@ORDERS
@VERSIONS
def test_times_of_a_guest_become_those_of_its_host(tmp_path: Path, build, order: str) -> None:
    """START * 3 / 2 + offset: 20 ns after the first sample 100 + 20 * 200 / 200, and so on beyond the last."""
    tables, losses, _ = read_bytes(tmp_path, build(guest(order)))
    times = {(row["cpu"], row["n"]): row["ts"] for row in tables["wake"]}
    assert times == {
        (0, 0): START + 1000,
        (0, 1): START + 1050,
        (1, 0): (START + 20) * 3 // 2 + 120,
        (1, 1): (START + 100) * 3 // 2 + 200,
        (1, 2): (START + 400) * 3 // 2 + 500,
    }
    assert losses == {}


@ORDERS
@VERSIONS
def test_a_host_keeps_its_own_times(tmp_path: Path, build, order: str) -> None:
    tables, losses, reader = read_bytes(tmp_path, build(host(order)))
    assert [row["ts"] for row in tables["wake"]] == [START + 5]
    assert (losses, reader.info.cpus) == ({}, 2)


def test_a_guest_that_counts_cycles_is_shifted_first_and_then_converted(tmp_path: Path) -> None:
    options = [time_shift([[(START, 6, 1, 0)]], "<"), (TSC2NSEC, struct.pack("<IIQ", 5, 1, 0))]
    file = make.version_7(trace(pages("<", 0), options=options, clock="x86-tsc"))
    assert read_bytes(tmp_path, file)[0]["wake"][0]["ts"] == (START + 6) * 5 // 2


@pytest.mark.parametrize("number", [8, 32])
def test_thread_groups_that_gpuvis_saves_are_taken(tmp_path: Path, number: int) -> None:
    file = make.version_6(trace(pages("<", 0), options=[(number, b"17 11\n 18 11\nx y\n9999999999 1\n\0")]))
    assert read_bytes(tmp_path, file)[2].info.tgids == {17: 11, 18: 11}


@pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")
@pytest.mark.parametrize("peer", [guest, host])
@ORDERS
@NONE
def test_trace_cmd_shows_the_same_times(tmp_path: Path, build, order: str, peer) -> None:
    file = build(peer(order))
    path = tmp_path / "peer.dat"
    path.write_bytes(file)
    shown = subprocess.run(["trace-cmd", "report", "-R", "-t", str(path)], capture_output=True, check=True)
    lines = re.findall(r"\[(\d+)\]\s*([\d.]+):\s+wake:\s+n=(\d+)", shown.stdout.decode())
    rows = read_bytes(tmp_path, file)[0]["wake"]
    assert [(int(cpu), int(ts.replace(".", "")), int(n)) for cpu, ts, n in lines] == [(row["cpu"], row["ts"], row["n"]) for row in rows]
