"""Reports: rows in, rows out; headers that say what the query does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from builders.stores import TRACE, add_run, add_trace, answer

from replay import reports
from replay.errors import UsageError
from replay.session import Session, views_script
from replay.store import Store

OTHER = "t000000000012"
FILE = {"file": "8:1:42", "index": 3, "pin": 0, "mr": 0}


def conflict(name: str, risk: str, npages: int, ts: int = 5, **more: Any) -> dict[str, Any]:
    row = {"ts": ts, "class": name, "risk": risk, "op": "wb_start", "npages": npages, "bytes": npages * 4096, "culprit_tid": 10}
    return {**FILE, **row, "victim_tid": 20, **more}


def stall(dur: int, unbounded: bool = False, **more: Any) -> dict[str, Any]:
    return {**FILE, "ts": 7, "dur": dur, "unbounded": unbounded, "op": "truncate", "role": "breaker", "tid": 20, "npages": 5, **more}


def cost(metric: str, value: float) -> dict[str, Any]:
    return {"metric": metric, "unit": "pages", "value": value}


TASKS = [{"tid": tid, "comm": comm, "kthread": False, "events": 1} for tid, comm in ((10, "app"), (20, "admin"))]
PIN = {"pin": 0, "mr": 0, "tid": 10, "file": "8:1:42", "index": 3, "npages": 7, "slot": 0, "write": True, "longterm": True}
PINS = [
    {**PIN, "ts_pin": 100, "ts_unpin": 400, "id_source": "mapping"},
    {**PIN, "pin": 1, "ts_pin": 300, "ts_unpin": None, "npages": 11, "id_source": "mapping"},
    {**PIN, "pin": 2, "ts_pin": None, "ts_unpin": 200, "file": None, "npages": 13, "id_source": "unresolved"},
]
MRS = [
    {"mr": 0, "device": "rxe0", "tid": 10, "comm": "app", "file": "8:1:42", "index": 3, "npages": 7, "write": True, "result": 0}
    | {"ts_reg": 90, "ts_dereg": 390},
    {"mr": 1, "device": "rxe0", "tid": 10, "comm": "app", "npages": 0, "write": True, "result": -95, "ts_reg": 500, "ts_dereg": None},
    {"mr": 2, "device": "rxe0", "tid": 10, "comm": "app", "npages": 2, "write": False, "result": 0, "ts_reg": 600, "ts_dereg": None},
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    add_trace(store, tables={"tasks": TASKS, "pins": PINS, "mrs": MRS})
    add_trace(store, OTHER, "other.dat", tables={"tasks": TASKS})
    add_run(
        store,
        "r1",
        "none",
        tables={
            "conflicts": [
                conflict("wb_while_pinned", "corruption", 7),
                conflict("wb_while_pinned", "corruption", 11, file="8:1:43", culprit_tid=99),
                conflict("dirty_after_clean", "corruption", 2, op="unpin"),
                conflict("pin_refused", "availability", 3, op="pin"),
            ],
            "costs": [cost("unreclaimable_page_seconds", 1.5)],
        },
    )
    add_run(store, "r2", "none", OTHER, tables={"conflicts": [conflict("wb_while_pinned", "corruption", 5)], "stalls": [stall(17)]})
    add_run(
        store,
        "r3",
        "lease",
        params='{"lease.app": "5ms", "lease.rtt": "10us"}',
        tables={
            "conflicts": [conflict("space_held", "pressure", 13)],
            "stalls": [stall(23), stall(23, True), stall(19, tid=10, pin=None, mr=None)],
            "costs": [cost("refused_pages", 3), cost("bounce_bytes", 4096)],
            "refusals": [{**FILE, "ts": 1, "reason": "refuse_dax", "errno": -95, "tid": 10, "npages": 3, "mr": 2}],
            "revocations": [{"ts": 2, "reason": "lease_break", "op": "truncate", "tid": 10, "npages": 7, "mr": 0}],
        },
    )
    add_run(store, "r4", "lease+bounce")
    add_run(store, "r5", "my-own")
    return store


@pytest.mark.parametrize("name", reports.names())
def test_sql_of_a_report_runs_as_it_stands_in_a_plain_duckdb(store: Store, name: str) -> None:
    with duckdb.connect() as plain:
        plain.execute(views_script(store))
        found = plain.execute(reports.text(name)).fetchall()
    assert found == [tuple(row.values()) for row in answer(store, name)]


@pytest.mark.parametrize("name", reports.names())
def test_reports_run_on_an_empty_store(tmp_path: Path, name: str) -> None:
    (tmp_path / "store.json").write_text('{"version": 2}')
    assert answer(Store(tmp_path), name) == []


def test_overview_sums_runs_of_a_policy_in_the_order_of_policies(store: Store) -> None:
    found = answer(store, "overview")
    assert [(row["policy"], row["settings"]) for row in found] == [
        ("none", ""),
        ("lease", "lease.app=5ms"),
        ("lease+bounce", ""),
        ("my-own", ""),
    ]
    none, lease = found[0], found[1]
    assert none["traces"] == 2
    assert none["at_risk_pages"] == 7 + 11 + 2 + 5
    assert none["at_risk_bytes"] == 25 * 4096
    assert (none["wb_while_pinned"], none["dirty_after_clean"], none["lost_pages"]) == (23, 2, 3)
    assert (none["stalls"], none["longest_ns"], none["longest_open"], none["total_ns"]) == (1, 17, False, 17)
    assert none["unreclaimable_page_seconds"] == 1.5
    assert (lease["stalls"], lease["longest_ns"], lease["longest_open"], lease["total_ns"], lease["unbounded"]) == (3, 23, True, 65, 1)
    assert (lease["pressure_pages"], lease["refused_pages"], lease["bounce_bytes"]) == (13, 3, 4096)
    assert found[2]["at_risk_pages"] == 0


def test_the_longest_wait_is_open_though_other_runs_have_none(store: Store) -> None:
    add_run(store, "r6", "lease", OTHER, params='{"lease.app": "5ms", "lease.rtt": "10us"}')
    (row,) = answer(store, "overview", policy="lease")
    assert (row["traces"], row["longest_ns"], row["longest_open"]) == (2, 23, True)


def test_overview_of_one_trace_and_one_policy(store: Store) -> None:
    (row,) = answer(store, "overview", trace=OTHER)
    assert (row["policy"], row["at_risk_pages"]) == ("none", 5)
    (row,) = answer(store, "overview", policy="lease")
    assert row["policy"] == "lease"


def test_conflicts_name_the_worst_file_and_the_holder(store: Store) -> None:
    found = answer(store, "conflicts", policy="none", trace=TRACE)
    assert [(row["class"], row["conflicts"], row["pages"], row["files"]) for row in found] == [
        ("wb_while_pinned", 2, 18, 2),
        ("pin_refused", 1, 3, 1),
        ("dirty_after_clean", 1, 2, 1),
    ]
    assert (found[0]["worst_file"], found[0]["holder"]) == ("8:1:43", "?/99")
    assert (found[1]["worst_file"], found[1]["holder"]) == ("8:1:42", "app/10")
    assert len(answer(store, "conflicts", policy="none", trace=TRACE, limit=2)) == 2


def test_stalls_name_waiter_and_holder(store: Store) -> None:
    found = answer(store, "stalls", policy="lease")
    assert [(row["waiter"], row["holder"], row["stalls"], row["longest_ns"], row["longest_open"], row["total_ns"]) for row in found] == [
        ("admin/20", "app/10", 2, 23, True, 46),
        ("app/10", None, 1, 19, False, 19),
    ]


def test_pins_last_to_the_unpin_or_the_end_of_the_trace(store: Store) -> None:
    found = answer(store, "pins")
    assert [(row["file"], row["pins"], row["pages"], row["longest_ns"], row["longest_open"], row["alive"]) for row in found] == [
        ("8:1:42", 2, 18, 700, True, 1),
        (None, 1, 13, 200, False, 0),
    ]


def test_mrs_say_which_policies_refuse_or_revoke_them(store: Store) -> None:
    found = answer(store, "mrs")
    assert [(row["mr"], row["life_ns"], row["alive"], row["refused_by"], row["revoked_by"]) for row in found] == [
        (0, 300, False, "", "lease"),
        (1, None, False, "", ""),  # refused: it never lived
        (2, 400, True, "lease", ""),
    ]


def test_runs_are_one_line_each(store: Store) -> None:
    found = answer(store, "runs", runs="r1 r3")
    assert [(row["run"], row["at_risk_bytes"], row["lost_pages"], row["stalls"], row["longest_open"]) for row in found] == [
        ("r1", 20 * 4096, 3, 0, False),
        ("r3", 0, 0, 3, True),
    ]


def test_text_shows_an_open_end_and_hides_what_is_nowhere(store: Store) -> None:
    report = reports.load("overview")
    with Session(store) as session:
        text = reports.as_text(report, reports.run(session, report, {}))
    assert ">= 23 ns (still open)" in text
    assert "None anywhere: torn snapshot, missed by fsync" in text
    assert max(map(len, text.splitlines())) <= 120


def test_unknown_reports_and_parameters_are_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="did you mean stalls"):
        reports.load("stals")
    with pytest.raises(UsageError, match="no parameter 'policy'"):
        answer(store, "pins", policy="none")
