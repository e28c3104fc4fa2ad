"""The lowered events of recorded traces against what the kernel's own reference counts say (traces are not part of the repository)."""

import os
from pathlib import Path

import pytest
from builders.shown import shown

from replay.ingest.canonical import Canonical
from replay.ingest.lowering import Lowering
from replay.ingest.records import EventName
from replay.ingest.tracecmd import open_tracecmd

TRACES = os.environ.get("REPLAY_EXTRA_TRACES")
pytestmark = pytest.mark.skipif(not TRACES, reason="REPLAY_EXTRA_TRACES is not set")

# struct page of an order-0 folio counts 1024 references per pin (GUP_PIN_COUNTING_BIAS, include/linux/mm.h).
PIN_BIAS = 1024
START: EventName = ("gup", "folio_start_writeback")


def lowered(name: str) -> tuple[Canonical, dict[int, int]]:
    """Tables of a trace, and the reference count by seq of each writeback that starts."""
    reader = open_tracecmd(Path(str(TRACES)) / name)
    lowering = Lowering(reader.info, reader.losses)
    refs: dict[int, int] = {}
    for batch in reader.batches():
        lowering.add(batch)
        if START in batch.tables:
            table = batch.tables[START]
            refs |= dict(zip(table.column("seq").to_pylist(), table.column("refs").to_pylist(), strict=True))
    return lowering.finish(), refs


def pinned_writebacks(canonical: Canonical) -> set[int]:
    """A replayer as plain as can be: pins by page instance; seq of each writeback that meets one."""
    pins: dict[tuple[str, int], set[int]] = {}
    found = set()
    for row in shown("events", canonical.tables["events"]):
        if row["file"] is None or row["index"] is None:
            continue
        pages = [(row["file"], index) for index in range(row["index"], row["index"] + (row["npages"] or 0))]
        if row["op"] == "pin" and row["pin"] is not None:
            for page in pages:
                pins.setdefault(page, set()).add(row["pin"])
        elif row["op"] == "unpin":
            for page in pages:
                pins.get(page, set()).discard(row["pin"])
        elif row["op"] == "cache_del":
            for page in pages:
                pins.pop(page, None)
        elif row["op"] == "wb_start" and any(pins.get(page) for page in pages):
            found.add(row["seq"])
    return found


@pytest.mark.parametrize(
    ("name", "made", "started", "pinned"),
    [
        ("ext4-v6.dat", 3, 1072, 560),
        ("ext4-v7.dat", 9, 4162, 2145),
        ("ext4-v7-none.dat", 3, 1053, 558),
        ("ext4-v7-zlib.dat", 3, 1072, 560),
        ("multi-buffer.dat", 3, 1060, 557),
        ("big.dat", 65, 219046, 132863),
    ],
)
def test_the_writebacks_that_the_kernel_saw_as_pinned_are_found(name: str, made: int, started: int, pinned: int) -> None:
    canonical, refs = lowered(name)
    truth = {seq for seq, count in refs.items() if count >= PIN_BIAS}
    assert (len(refs), len(truth)) == (started, pinned)
    found = pinned_writebacks(canonical)
    hits = len(found & truth)
    assert hits >= 0.995 * len(found), "precision"
    assert hits >= 0.995 * len(truth), "recall"
    assert canonical.tables["mrs"].column("result").to_pylist() == [0] * made


def test_recorded_lease_breaks_and_the_truncates_that_waited_for_them() -> None:
    events = shown("events", lowered("lease.dat")[0].tables["events"])
    breaks = [round(row["dur"] / 1e9, 3) for row in events if row["op"] == "lease_break"]
    assert breaks == [0.143, 0.123, 0.129, 0.129, 0.129, 0.129]
    truncates = [row for row in events if row["op"] == "truncate"]
    assert [row["ts"] for row in truncates] == [row["ts"] for row in events if row["op"] == "lease_break"]
    assert all(wait <= row["dur"] / 1e9 + 0.001 for wait, row in zip(breaks, truncates, strict=True))
    assert {row["file"] for row in truncates} == {"254:16:12"}


@pytest.mark.parametrize(("name", "punches"), [("dax.dat", 3), ("dax-refused.dat", 4)])
def test_recorded_layout_wait_ends_only_with_the_process(name: str, punches: int) -> None:
    canonical, _ = lowered(name)
    events = shown("events", canonical.tables["events"])
    (wait,) = [row for row in events if row["op"] == "layout_wait"]
    assert (wait["open"], wait["dur"], wait["busy"], wait["dax"]) == (True, None, True, True)
    assert [row["open"] for row in events if row["op"] == "punch"] == [False] * (punches - 1) + [True]


def test_registration_on_a_dax_mapping_was_refused() -> None:
    (region,) = lowered("dax-refused.dat")[0].tables["mrs"].to_pylist()
    assert (region["result"], region["bytes"], region["npages"], region["ts_dereg"]) == (-95, 8 << 20, 0, None)


@pytest.mark.parametrize("name", ["lease.dat", "lost-events.dat", "function-graph.dat", "clock-tsc.dat"])
def test_registrations_of_other_traces(name: str) -> None:
    results = lowered(name)[0].tables["mrs"].column("result").to_pylist()
    assert results == [0] * (7 if name == "lease.dat" else 3)
