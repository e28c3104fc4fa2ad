"""Validation: policy none against the kernel's reference counts, matched by event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builders.stores import TRACE, add_run, add_trace

from replay import runs, validate
from replay.store import Store

FILE = "8:1:42"
LOST = {"counter": "kernel_lost_events", "cpu": 0, "severity": "data_loss", "count": 3, "total": None, "meaning": "m", "advice": "a."}


def writebacks(refs: list[int]) -> pa.Table:
    count = len(refs)
    own = {"seq": range(count), "ts": [100 * seq for seq in range(count)], "cpu": [0] * count, "buffer": [""] * count}
    return pa.table({**own, "refs": pa.array(refs, pa.int32())})


def events(count: int, **first: Any) -> list[dict[str, Any]]:
    rows = [{"seq": seq, "ts": 100 * seq, "op": "wb_start", "file": FILE, "index": seq, "npages": 1} for seq in range(count)]
    rows[0].update(first)
    return rows


def conflict(ts: int, index: int, npages: int = 1, name: str = "wb_while_pinned") -> dict[str, Any]:
    return {"ts": ts, "class": name, "risk": "corruption", "op": "wb_start", "file": FILE, "index": index, "npages": npages}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store where the run of policy none is what the test says."""

    def stored(store: Store, trace: str, policies: list[str]) -> list[runs.RunSummary]:
        assert policies == ["none"]
        entry = store.find("runs", f"r-{trace}")
        assert entry is not None
        return [runs.RunSummary(entry, "none", True, {})]

    monkeypatch.setattr(runs, "run", stored)
    return Store(tmp_path / "store", create=True)


def test_counts_precision_and_recall(store: Store) -> None:
    refs = [1025, 2048 + 7, 1024, 1023, 3, 1030, 1]
    entry = add_trace(store, tables={"events": events(7)}, raw={("gup", "folio_start_writeback"): writebacks(refs)})
    found = [conflict(0, 0), conflict(100, 1, npages=2), conflict(300, 3), conflict(500, 5, name="dirty_after_clean"), conflict(999, 2)]
    add_run(store, f"r-{TRACE}", "none", tables={"conflicts": found})
    row = validate.validate(store, [entry]).table.to_pylist()[0]
    # 0 and 1 agree; 3 is invented; 2 (other time) and 5 (other class) are missed; the range 1..2 at 100 is one event of page 1.
    assert {name: row[name] for name in ("writebacks", "pinned", "found", "true_positives", "false_positives", "false_negatives")} == {
        "writebacks": 7,
        "pinned": 4,
        "found": 3,
        "true_positives": 2,
        "false_positives": 1,
        "false_negatives": 2,
    }
    assert (row["precision"], row["recall"], row["note"]) == (2 / 3, 0.5, "")


def test_each_difference_is_listed_with_its_cause(store: Store) -> None:
    pins = [
        {"pin": 0, "tid": 1, "file": FILE, "index": 1, "npages": 1, "ts_pin": 0, "ts_unpin": 90},
        {"pin": 1, "tid": 1, "file": FILE, "index": 2, "npages": 1, "ts_pin": 220, "ts_unpin": None},
        {"pin": 2, "tid": 1, "file": FILE, "index": 3, "npages": 1, "ts_pin": 0, "ts_unpin": None},
        {"pin": 3, "tid": 1, "file": FILE, "index": 6, "npages": 1, "ts_pin": 590, "ts_unpin": 590},
    ]
    refs = [1025, 1025, 1025, 1025, 1025, 1, 1025]
    tables = {"events": events(7, file=None), "pins": pins}
    entry = add_trace(store, tables=tables, raw={("gup", "folio_start_writeback"): writebacks(refs)})
    add_run(store, f"r-{TRACE}", "none", tables={"conflicts": [conflict(500, 5)]})
    result = validate.validate(store, [entry])
    assert [(miss["seq"], miss["kind"], miss["why"].split(":")[0]) for miss in result.misses.to_pylist()] == [
        (0, "missed", "the event's file could not be determined"),
        (1, "missed", "10 ns after the release of its pin began"),
        (2, "missed", "20 ns before its pin call returned"),
        (3, "missed", "the replay holds the pin to be of an earlier instance of the page"),
        (4, "missed", "no known pin"),
        (5, "invented", "a pin of the replay that the kernel had already dropped"),
        (6, "missed", "a short pin (direct IO) whose release the trace does not tell"),
    ]
    assert result.notes[-1] == "List each with: replay validate --misses"
    assert "work.dat: 1 missed: shortly after the release of its pin began" in result.notes[1]


def test_traces_without_counts_say_so(store: Store) -> None:
    plain = pa.table({"seq": [0], "ts": [0], "index": [7]})
    entries = [add_trace(store), add_trace(store, "t000000000012", "noprobe.dat", raw={("gup", "folio_start_writeback"): plain})]
    result = validate.validate(store, entries)
    assert [row["note"] for row in result.table.to_pylist()] == ["n/a: no folio_start_writeback probe with refs"] * 2
    assert result.table["precision"].null_count == 2
    assert result.misses.num_rows == 0
    assert store.runs() == []


def test_lossy_traces_say_so(store: Store) -> None:
    raw = {("gup", "folio_start_writeback"): writebacks([1025])}
    entry = add_trace(store, tables={"events": events(1)}, raw=raw, losses=[LOST, {**LOST, "cpu": 1, "count": 4}])
    add_run(store, f"r-{TRACE}", "none")
    result = validate.validate(store, [entry])
    assert result.table["note"].to_pylist() == ["lossy: kernel lost events 7"]
    assert result.table["precision"].to_pylist() == [None]
    assert result.table["recall"].to_pylist() == [0.0]
    assert any("kernel lost events 7" in note for note in result.notes)


def test_folios_of_several_pages_are_judged_by_their_own_count_of_pins(store: Store) -> None:
    """And left out where the probe did not fetch it: reference counts tell the pins of single pages only."""
    own = writebacks([40, 1030, 40])
    counted = own.append_column("head", pa.array([1, 0, 1])).append_column("pincount", pa.array([32, 7, 0]))
    started = [{**row, "npages": 4 if row["index"] == 0 else 1, "index": 4 * row["index"]} for row in events(3)]
    adds = [{"seq": -1, "ts": 0, "op": "cache_add", "file": FILE, "index": index, "npages": 4} for index in (0, 8)]
    found = {"conflicts": [conflict(0, 2), conflict(100, 4)]}
    for name, raw, expected in (("t000000000021", counted, (3, 2, 2, 2)), ("t000000000022", own, (3, 1, 1, 1))):
        entry = add_trace(store, name, tables={"events": [*adds, *started]}, raw={("gup", "folio_start_writeback"): raw})
        add_run(store, f"r-{name}", "none", name, tables=found)
        row = validate.validate(store, [entry]).table.to_pylist()[0]
        assert tuple(row[column] for column in ("items", "measured", "predicted", "agree")) == expected
        assert ("left out: 2 of folios of several pages" in row["note"]) == (raw is own)


def test_folios_of_unknown_size_are_left_out_where_there_may_be_large_ones(store: Store) -> None:
    """They were in the cache before the trace; a count of 1024 or more is that of a single page in any case."""
    iomap = pa.table({"seq": [9], "ts": [0], "cpu": [0], "buffer": [""], "dev": [8 << 20 | 1], "ino": [42]})
    refs, found = writebacks([14, 1030, 3]), {"conflicts": [conflict(0, 0), conflict(100, 1)]}
    files = [{"file": FILE, "ino": 42, "file_id": 0}]
    adds = [{"seq": -1, "ts": 0, "op": "cache_add", "file": FILE, "index": 2, "npages": 1}]
    probe = {("gup", "folio_start_writeback"): refs}
    for name, raw, expected in (
        ("t000000000031", {**probe, ("iomap", "iomap_writepage"): iomap}, (1, 1, 0, 1)),
        ("t000000000032", probe, (1, 2, 1, 0)),
    ):
        entry = add_trace(store, name, tables={"events": [*adds, *events(3)], "files": files}, raw=raw)
        add_run(store, f"r-{name}", "none", name, tables=found)
        row = validate.validate(store, [entry]).table.to_pylist()[0]
        untold = 1 if "left out: 1" in row["note"] else 0
        assert (row["true_positives"], row["found"], row["false_positives"], untold) == expected
