"""Outcomes through tables and the store: sums that must not change, series, and runs that are found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay import runs
from replay.columns import read_recorded
from replay.errors import StoreError, UsageError
from replay.ingest.pipeline import ingest_file
from replay.policies import BUILTIN
from replay.runs import run
from replay.schema import RUN_TABLES
from replay.store import Store

EXAMPLES = Path(__file__).parent / "examples"


def test_splitting_an_mr_changes_no_sum_of_pages(replay_events: Callable[..., Any]) -> None:
    base: dict[str, Any] = {"tid": 10, "tgid": 10, "comm": "app", "file": "8:1:42"}
    busy = [
        {"ts": 1, "op": "dirty", "index": 1, "npages": 5},
        {"ts": 2, "op": "wb_start", "index": 0, "npages": 6, "sync": False},
        {"ts": 3, "op": "fsync", "dur": 1},
        {"ts": 5, "op": "reclaim", "index": 2, "npages": 3},
        {"ts": 6, "op": "punch", "index": 1, "npages": 4, "dur": 0},
    ]

    def events(ranges: list[tuple[int, int]]) -> list[dict[str, Any]]:
        reg = {"ts": 0, "op": "mr_reg", "device": "d", "write": True}
        made = [{**reg, "mr": mr, "index": at, "npages": n} for mr, (at, n) in enumerate(ranges)]
        return [{**base, **event} for event in (*made, *busy, *({"ts": 9, "op": "mr_dereg", "mr": mr} for mr in range(len(ranges))))]

    for policy in BUILTIN:
        whole, halves = replay_events(events([(0, 6)]), policy.name), replay_events(events([(0, 3), (3, 3)]), policy.name)
        assert whole.pages == halves.pages, policy.name
        per_mr = {"revoked_mrs", "collateral_mrs", "odp_faults", "odp_invalidations"}
        assert {key: value for key, value in whole.costs.items() if key not in per_mr} == {
            key: value for key, value in halves.costs.items() if key not in per_mr
        }, policy.name


def test_series_add_up_to_the_costs(replay_events: Callable[..., Any]) -> None:
    base: dict[str, Any] = {"tid": 10, "tgid": 10, "comm": "app", "file": "8:1:42"}
    events = [
        {**base, "ts": 7, "op": "mr_reg", "mr": 1, "device": "d", "index": 0, "npages": 3, "write": True},
        {**base, "ts": 1009, "op": "truncate", "index": 1, "dur": 0},
        {**base, "ts": 5003, "op": "mr_dereg", "mr": 1},
    ]
    outcome = replay_events(events, "busy-blocks")
    # 3 pages for 1002 ns and 1 for 3994 ns in the cache; 2 blocks held for 3994 ns; 3 pages pinned all the time.
    assert outcome.costs == {
        "unreclaimable_page_seconds": (3 * 1002 + 3994) / 1e9,
        "held_block_seconds": 2 * 3994 / 1e9,
        "pinned_page_seconds": 3 * 4996 / 1e9,
    }
    series = outcome.rows("series")
    for metric, value in outcome.costs.items():
        assert sum(row["value"] for row in series if row["metric"] == metric) == pytest.approx(value, rel=1e-12)
    assert {row["dur"] for row in series} == {20}  # 4997 ns in at most 256 intervals
    assert max(row["ts"] for row in series) <= 5003 < max(row["ts"] for row in series) + 20
    held = [row for row in series if row["metric"] == "held_block_seconds" and row["value"]]
    assert held[0]["ts"] == 7 + 50 * 20  # the interval of 1009


def test_runs_are_stored_once_and_byte_identical(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name, create=True) for name in ("one", "two")]
    folders = []
    for store, jobs in zip(stores, (1, 2), strict=True):
        trace = ingest_file(store, str(EXAMPLES / "truncate-page-cache.jsonl")).trace
        steps: list[tuple[int, int]] = []
        summaries = run(store, trace, jobs=jobs, progress=lambda done, total, steps=steps: steps.append((done, total)))
        assert [summary.policy for summary in summaries] == [policy.name for policy in BUILTIN]
        assert steps[-1] == (len(BUILTIN), len(BUILTIN))
        assert not any(summary.already for summary in summaries)
        again = run(store, trace, ["lease", "none"], {"lease.app": "1000us"})
        assert [summary.already for summary in again] == [True, True]
        assert again[0].run == summaries[4].run
        folders.append([summary.entry.path for summary in summaries])
    for one, two in zip(*folders, strict=True):
        for table in RUN_TABLES:
            assert (one / f"{table.name}.parquet").read_bytes() == (two / f"{table.name}.parquet").read_bytes()
            assert pq.read_schema(one / f"{table.name}.parquet").equals(table.arrow_schema())


def test_another_question_is_another_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    trace = ingest_file(store, str(EXAMPLES / "truncate-page-cache.jsonl")).trace
    (one,) = run(store, trace, ["lease"])
    (two,) = run(store, trace, ["lease"], {"lease.app": "2ms"})
    (three,) = run(store, trace, ["lease+none"])
    assert len({one.run, two.run, three.run}) == 3
    with pytest.raises(UsageError, match="did you mean lease"):
        run(store, trace, ["none", "laese"])
    assert len(store.runs()) == 3


def test_a_corrupt_trace_is_refused_in_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    entry = ingest_file(store, str(EXAMPLES / "truncate-page-cache.jsonl")).entry
    path = entry.table("pins")
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("slot"), "slot", pa.array([10**9])), path)
    with pytest.raises(StoreError, match=r"do not fit together: .*ingest it again") as raised:
        read_recorded(entry)
    assert "\n" not in str(raised.value)
    path.write_bytes(b"PAR1 nothing of the kind")
    with pytest.raises(StoreError, match=r"pins\.parquet: cannot read"):
        read_recorded(entry)


def test_conflicts_are_stored_in_parts_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store", create=True)
    entry = ingest_file(store, str(EXAMPLES / "punch-then-refault.jsonl")).entry
    (whole,) = run(store, entry.id, ["none"])
    monkeypatch.setattr(runs, "ROW_GROUP_ROWS", 1)
    monkeypatch.setattr(runs, "BLOCK_ROWS", 1)
    other = Store(tmp_path / "other", create=True)
    ingest_file(other, str(EXAMPLES / "punch-then-refault.jsonl"))
    (parts,) = run(other, entry.id, ["none"])
    assert whole.rows == parts.rows
    assert pq.read_table(whole.entry.table("conflicts")).equals(pq.read_table(parts.entry.table("conflicts")))
    assert pq.ParquetFile(parts.entry.table("conflicts")).num_row_groups == parts.rows["conflicts"] > 1
