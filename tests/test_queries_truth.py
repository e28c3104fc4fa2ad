"""Reports on recorded traces, against figures counted in the text of `trace-cmd report -t`, without any code of this project.

Memory regions are those of 1 MiB over the file, a pin counts from the return of its call, an fsync from its entry.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.stores import answer

from replay import runs
from replay.ingest.pipeline import ingest_file
from replay.session import Session
from replay.store import Store

SAMPLES = Path(__file__).parent.parent / "sample_traces"
PUNCHES_THAT_MET_A_PIN, PAGES_PUNCHED_BY_THE_PINNER, PAGES_PUNCHED_BY_OTHERS = 14, 44, 48
WRITEBACKS, WITH_REFS_OF_A_PIN = 4_172, 3_175
FSYNCS, FSYNCS_WHILE_PINNED, LONGEST_WITHOUT_FSYNC_NS = 40, 37, 311_364_696
LONGEST_PINNED_SPAN_NS = 847_069_148
REMOTE_ACCESSES, LAYOUT_CHANGES, REGISTRATIONS = 15_410, 18, 13
# From the last rxe_mr_copy within each region of 1 MiB to its ib_umem_release.
IDLE_NS = [17368784, 32367760, 59750590, 75337798, 55711911, 30213823, 16547522, 232194269, 23776753, 12615788, 44965380, 151233444]
# sched_process_exit of pid 170 at 24.762581356; the last ib_umem_release, of the 64 KiB source buffer, comes after it.
OWNERLESS_NS = 24_763_204_438 - 24_762_581_356
# A scan that found a busy page at 38.410581172 and that no other followed; the last record is at 71.308584778.
DAX_WAIT_NS = 71_308_584_778 - 38_410_581_172


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("truth") / "store", create=True)
    for name in ("rdma-ext4.dat", "lease-dax.dat"):
        trace = ingest_file(store, SAMPLES / name).entry.id
        runs.run(store, trace, ["none", "hold-off"])
    return store


def of(store: Store, report: str, policy: str = "none", trace: str = "rdma-ext4.dat") -> list[dict[str, object]]:
    return answer(store, report, policy=policy, trace=store.resolve_trace(trace).id)


def test_layout(store: Store) -> None:
    (row,) = of(store, "layout")
    assert (row["class"], row["op"], row["ops"]) == ("truncate_while_pinned", "punch", PUNCHES_THAT_MET_A_PIN)
    assert (row["own_pages"], row["other_pages"]) == (PAGES_PUNCHED_BY_THE_PINNER, PAGES_PUNCHED_BY_OTHERS)


def test_wasted_writeback(store: Store) -> None:
    (row,) = of(store, "wasted-writeback")
    assert (row["recorded_bytes"], row["pinned_bytes"]) == (WRITEBACKS * 4096, WITH_REFS_OF_A_PIN * 4096)


def test_unsynced(store: Store) -> None:
    (none,) = of(store, "unsynced")
    assert (none["fsyncs"], none["unsynced_ns"], none["unsynced_open"]) == (FSYNCS_WHILE_PINNED, LONGEST_WITHOUT_FSYNC_NS, False)
    (held,) = of(store, "unsynced", "hold-off")
    assert held["unsynced_ns"] == LONGEST_PINNED_SPAN_NS


def test_progress(store: Store) -> None:
    assert {row["kind"]: row["recorded"] for row in of(store, "progress")} == {
        "fsync": FSYNCS,
        "layout change": LAYOUT_CHANGES,
        "registration": REGISTRATIONS,
        "remote access": REMOTE_ACCESSES,
    }


def test_idle_pins(store: Store) -> None:
    file, source = answer(store, "idle-pins", trace=store.resolve_trace("rdma-ext4.dat").id)
    assert (file["mrs"], file["bytes"], source["mrs"], source["bytes"]) == (len(IDLE_NS), len(IDLE_NS) << 20, 1, 65536)
    assert (file["median_idle_ns"], file["longest_idle_ns"]) == (sorted(IDLE_NS)[5], max(IDLE_NS))


def test_lifetimes(store: Store) -> None:
    """A pin ends with the last page that its release lets go of, which may be milliseconds after the release began."""
    query = """
      SELECT max(idle - (lifetimes.ts + dur - ts_dereg)) AS idle, sum(lifetimes.npages) AS pages
      FROM lifetimes JOIN mrs USING (trace, mr) WHERE trace = $trace GROUP BY mr ORDER BY mr"""
    with Session(store) as session:
        rows = session.sql(query, {"trace": store.resolve_trace("rdma-ext4.dat").id}).rows()
    assert [row["pages"] for row in rows] == [16, *12 * [256]]
    assert [row["idle"] for row in rows[1:]] == IDLE_NS


def test_ownerless(store: Store) -> None:
    (row,) = answer(store, "ownerless", trace=store.resolve_trace("rdma-ext4.dat").id)
    assert (row["lost"], row["owner"], row["bytes"]) == ("process", "pinload/170", 65536)
    assert (row["longest_ns"], row["longest_open"]) == (OWNERLESS_NS, False)


def test_dax_waits(store: Store) -> None:
    recorded, *rest = of(store, "dax-waits", "hold-off", "lease-dax.dat")
    assert (recorded["policy"], recorded["waits"], recorded["open_waits"], recorded["longest_ns"]) == ("(recorded)", 1, 1, DAX_WAIT_NS)
    assert [(row["waits"], row["open_waits"], row["longest_ns"]) for row in rest] == [(1, 1, DAX_WAIT_NS)]
