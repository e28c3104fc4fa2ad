"""Reports that pictures are drawn from: the rows of outcome tables in, the report's rows out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders.stores import TRACE, add_run, add_trace, answer

from replay.render import Look
from replay.reporting import ask
from replay.store import Store

FILE = "8:1:42"
APP, ADMIN = 10, 20
TASKS = [{"tid": tid, "comm": comm, "kthread": False, "events": 1} for tid, comm in ((APP, "app"), (ADMIN, "admin"))]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    mrs = [{"mr": 3, "label": "0xab", "tid": APP}]
    add_trace(store, tables={"tasks": TASKS, "mrs": mrs, "pins": [{"pin": 7, "mr": None, "tid": APP}]}, ts_first=100, ts_last=1_000_100)
    return store


def conflict(npages: int, ts: int, risk: str = "corruption", **more: Any) -> dict[str, Any]:
    row = {"ts": ts, "class": "wb_while_pinned", "risk": risk, "op": "fsync", "file": FILE, "index": 3, "npages": npages}
    return {**row, "bytes": npages * 4096, "pin": 7, "mr": 3, "culprit_tid": APP, "victim_tid": ADMIN, **more}


def stall(dur: int, ts: int = 100, unbounded: bool = False, **more: Any) -> dict[str, Any]:
    row = {"ts": ts, "dur": dur, "unbounded": unbounded, "op": "fsync", "role": "app", "tid": ADMIN, "file": FILE, "index": 3}
    return {**row, "npages": 5, "pin": 7, "mr": None, **more}


def test_stalls_are_counted_by_tenths_of_a_power_of_ten(store: Store) -> None:
    waits = [stall(dur) for dur in (1000, 1258, 1259, 99_999, 100_000)] + [stall(100_001, unbounded=True), stall(0)]
    add_run(store, "r1", "hold-off", tables={"stalls": waits})
    columns = ("from_ns", "to_ns", "stalls", "unbounded", "at_least")
    assert [tuple(row[name] for name in columns) for row in answer(store, "stall-distribution")] == [
        (1, 2, 1, 0, 7),
        (1000, 1259, 2, 0, 6),
        (1259, 1585, 1, 0, 4),
        (79433, 100_000, 1, 0, 3),
        (100_000, 125_893, 2, 1, 2),
    ]


def test_intervals_are_round_and_begin_with_the_trace(store: Store) -> None:
    rows = [conflict(2, 100), conflict(3, 20_099), conflict(5, 20_100, "availability"), conflict(7, 1_000_100, "pressure")]
    add_run(store, "r1", "none", tables={"conflicts": rows, "stalls": [stall(11, 20_101), stall(13, 20_102)]})
    columns = ("ts", "after_ns", "width_ns", "at_risk_pages", "lost_pages", "pressure_pages", "stalls", "stalled_ns")
    assert [tuple(row[name] for name in columns) for row in answer(store, "over-time")] == [
        (100, 0, 20_000, 5, 0, 0, 0, 0),
        (20_100, 20_000, 20_000, 0, 5, 0, 2, 24),
        (1_000_100, 1_000_000, 20_000, 0, 0, 7, 0, 0),
    ]
    assert {row["width_ns"] for row in answer(store, "over-time", intervals=10)} == {200_000}


def test_a_policy_may_move_conflicts_behind_the_end_of_the_trace(store: Store) -> None:
    add_run(store, "r1", "hold-off", tables={"conflicts": [conflict(1, 5_900_100)]})
    (row,) = answer(store, "over-time")
    assert (row["after_ns"], row["width_ns"]) == (5_900_000, 100_000)


def test_costs_of_neighbouring_intervals_are_added_up(store: Store) -> None:
    series = [
        {"metric": metric, "unit": "pages", "ts": 100 + 10 * number, "dur": 10, "value": float(number * share)}
        for metric, share in (("refused_pages", 1), ("odp_faults", 0))
        for number in range(7)
    ]
    add_run(store, "r1", "none", tables={"series": series})
    found = answer(store, "cost-series", intervals=3)
    assert [(row["metric"], row["ts"], row["after_ns"], row["width_ns"], row["value"]) for row in found] == [
        ("refused_pages", 100, 0, 30, 3),
        ("refused_pages", 130, 30, 30, 12),
        ("refused_pages", 160, 60, 10, 6),
    ]
    assert len(answer(store, "cost-series")) == 6  # an interval without any is no row


def test_of_pages_over_time_the_series_shows_how_many_there_were(store: Store) -> None:
    seconds = {"metric": "pinned_page_seconds", "unit": "page seconds", "dur": 10**9}
    series = [{**seconds, "ts": 100 + number * 10**9, "value": float(pages)} for number, pages in enumerate((2, 4, 9, 0, 7))]
    add_run(store, "r1", "none", tables={"series": series})
    found = answer(store, "cost-series", intervals=3)
    assert [(row["metric"], row["unit"], row["ts"], row["width_ns"], row["value"]) for row in found] == [
        ("pinned_page_seconds", "pages", 100, 2 * 10**9, 3),
        ("pinned_page_seconds", "pages", 100 + 2 * 10**9, 2 * 10**9, 4.5),
        ("pinned_page_seconds", "pages", 100 + 4 * 10**9, 10**9, 7),
    ]


def test_culprits_are_named_with_their_victims(store: Store) -> None:
    rows = [conflict(2, 5), conflict(3, 6), conflict(7, 6, "availability", victim_tid=APP, op="punch")]
    rows.append(conflict(1, 9, culprit_tid=99, mr=None))
    waits = [stall(20, mr=3, pin=None), stall(30, unbounded=True), stall(10, pin=None)]
    add_run(store, "r1", "none", tables={"conflicts": rows, "stalls": waits})
    columns = ("holder", "mr", "label", "op", "victim", "at_risk_pages", "lost_pages", "stalls", "longest_ns", "longest_open", "total_ns")
    assert [tuple(row[name] for name in columns) for row in answer(store, "culprits")] == [
        ("app/10", 3, "0xab", "fsync", "admin/20", 5, 0, 1, 20, False, 20),
        ("?/99", None, None, "fsync", "admin/20", 1, 0, 0, 0, False, 0),
        ("app/10", 3, "0xab", "punch", "app/10", 0, 7, 0, 0, False, 0),
        ("app/10", None, None, "fsync", "admin/20", 0, 0, 1, 30, True, 30),
        (None, None, None, "fsync", "admin/20", 0, 0, 1, 10, False, 10),
    ]
    assert len(answer(store, "culprits", limit=2, trace=TRACE)) == 2


def test_culprits_of_many_regions_and_files_fit_80_columns(tmp_path: Path) -> None:
    store = Store(tmp_path / "wide", create=True)
    tids = (1701, 1702, 1703)
    tasks = [{"tid": tid, "comm": "checkpointd", "kthread": False, "events": 1} for tid in tids]
    add_trace(store, tables={"tasks": tasks, "mrs": [{"mr": tid, "label": f"0xff2f01dec17a{tid}", "tid": tid} for tid in tids]})
    own = {"op": "remote_write", "victim_tid": tids[0]}
    rows = [conflict(4_000_000, 5, mr=tid, culprit_tid=tid, file=f"254:16:{tid}", **own) for tid in tids]
    add_run(store, "r1", "none", tables={"conflicts": rows, "stalls": [stall(25_100_000_000, mr=tids[1], unbounded=True)]})
    text = ask(store, "culprits", {}).text(Look(80))
    assert [line.split()[:3] for line in text.splitlines() if "remote_write" in line] == [
        ["checkpo…td/1701", "1701", "remote_write"],
        ["checkpo…td/1702", "1702", "remote_write"],
        ["checkpo…td/1703", "1703", "remote_write"],
    ]
    assert max(map(len, text.splitlines())) <= 80
