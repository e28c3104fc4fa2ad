"""Reports on runs: the rows of outcome tables in, the report's rows out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builders.stores import TRACE, add_run, add_trace, answer

from replay.store import Store

FILE = "8:1:42"
APP, MATE, ADMIN = 10, 11, 20
TASKS = [
    {"tid": APP, "tgid": 10, "comm": "app", "kthread": False, "events": 1},
    {"tid": MATE, "tgid": 10, "comm": "mate", "kthread": False, "events": 1},
    {"tid": ADMIN, "tgid": 20, "comm": "admin", "kthread": False, "events": 1},
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def event(op: str, ts: int, tid: int = APP, **more: Any) -> dict[str, Any]:
    return {"seq": ts, "ts": ts, "op": op, "tid": tid, "file": FILE, "open": False, **more}


def conflict(name: str, npages: int, ts: int, op: str = "punch", victim: int = ADMIN, risk: str = "corruption") -> dict[str, Any]:
    row = {"ts": ts, "class": name, "risk": risk, "op": op, "file": FILE, "index": 3, "npages": npages, "bytes": npages * 4096}
    return {**row, "pin": 0, "mr": 0, "culprit_tid": APP, "victim_tid": victim}


def stall(
    dur: int, ts: int, op: str = "punch", role: str = "breaker", unbounded: bool = False, tid: int = ADMIN, **more: Any
) -> dict[str, Any]:
    row = {"ts": ts, "dur": dur, "unbounded": unbounded, "op": op, "role": role, "tid": tid, "file": FILE, "index": 3, "npages": 5}
    return {**row, "pin": 0, "mr": 0, **more}


def costs(**values: float) -> list[dict[str, Any]]:
    return [{"metric": name, "unit": "", "value": value} for name, value in values.items()]


def revocation(mr: int, reason: str, ts: int, npages: int = 7) -> dict[str, Any]:
    return {"ts": ts, "reason": reason, "op": "punch", "tid": APP, "breaker_tid": ADMIN, "file": FILE, "npages": npages, "mr": mr}


def test_disruptions_are_scaled_to_the_hour_and_name_calm_traces(store: Store) -> None:
    add_trace(store, ts_last=1_800_000_000_000)
    add_trace(store, "t2", "calm.dat", ts_last=1_800_000_000_000)
    add_run(store, "r1", "lease", tables={"costs": costs(revoked_mrs=7, killed_tasks=1, failed_remote_ops=5, refused_pages=3)})
    add_run(store, "r2", "lease", "t2", tables={"costs": costs(refused_pages=2)})
    (row,) = answer(store, "disruptions")
    assert (row["traces"], row["traced_ns"], row["revoked_mrs"], row["refused_pages"], row["calm"]) == (2, 3_600_000_000_000, 7, 5, 1)
    assert (row["revoked_per_hour"], row["killed_per_hour"], row["remote_failed_per_hour"], row["fs_failed_per_hour"]) == (7, 1, 5, 0)
    assert row["calm_traces"] == "calm.dat"


def test_revokers_count_operations_and_mrs(store: Store) -> None:
    add_trace(store, tables={"tasks": TASKS})
    rows = [revocation(0, "lease_break", 5), revocation(1, "collateral", 5, 11), revocation(0, "timeout_kill", 9)]
    add_run(store, "r1", "lease", tables={"revocations": rows})
    (row,) = answer(store, "revokers")
    assert (row["op"], row["program"], row["file"]) == ("punch", "admin", FILE)
    assert (row["ops"], row["mrs"], row["collateral"], row["pages"], row["timed_out"]) == (2, 3, 1, 25, 1)


def test_layout_tells_own_operations_from_those_of_others(store: Store) -> None:
    events = [event("punch", 10, ADMIN), event("truncate", 30, MATE), event("punch", 40, ADMIN)]
    add_trace(store, tables={"tasks": TASKS, "events": events})
    rows = [
        conflict("truncate_while_pinned", 1, 11),
        conflict("truncate_while_pinned", 2, 12),  # of the same punch
        conflict("truncate_while_pinned", 5, 41),
        conflict("truncate_while_pinned", 8, 30, "truncate", MATE),
        conflict("truncate_while_pinned", 3, 50, "evict"),  # no operation on the file
    ]
    add_run(store, "r1", "none", tables={"conflicts": rows})
    found = answer(store, "layout")
    assert [(row["op"], row["ops"], row["pages"], row["share"]) for row in found] == [("punch", 2, 8, 0.5), ("truncate", 1, 8, 0.5)]
    assert [(row["own_pages"], row["other_pages"], row["unknown_pages"]) for row in found] == [(0, 8, 0), (8, 0, 0)]


def test_dax_waits_stand_beside_what_was_recorded(store: Store) -> None:
    events = [event("layout_wait", 100, ADMIN, dur=None, open=True), event("layout_wait", 50, ADMIN, dur=0)]
    files = [{"file": FILE, "file_id": 0, "dax": True}, {"file": "8:1:43", "file_id": 1, "dax": False}]
    pins = [{"pin": 0, "mr": 0, "tid": APP, "file": FILE}]
    add_trace(store, tables={"tasks": TASKS, "events": events, "files": files, "pins": pins})
    rows = [stall(ts, 5) for ts in range(1, 101)] + [stall(500, 5, unbounded=True), stall(900, 5, file="8:1:43")]
    add_run(store, "r1", "hold-off", tables={"stalls": rows})
    recorded, policy = answer(store, "dax-waits")
    assert (recorded["policy"], recorded["holder"], recorded["waits"], recorded["open_waits"]) == ("(recorded)", None, 1, 1)
    assert (recorded["longest_ns"], recorded["longest_open"]) == (900, True)
    assert (policy["policy"], policy["holder"], policy["waits"], policy["open_waits"]) == ("hold-off", "app/10", 101, 1)
    assert (policy["median_ns"], policy["p99_ns"], policy["longest_ns"], policy["longest_open"]) == (51, 100, 500, True)


def test_lease_breaks_show_what_no_answer_costs(store: Store) -> None:
    add_trace(store)
    params = {"lease.app": "60s", "lease.break_time": "50ms", "lease.on_timeout": "kill", "hw.revoke": "device"}
    rows = [conflict("lease_break", 2, ts) for ts in (5, 5, 7, 9, 11)] + [conflict("lease_break_timeout", 2, 9)]
    rows += [conflict("remote_op_failed", 3, 13, "remote_write"), conflict("remote_op_failed", 5, 13, "remote_read")]
    waits = [stall(23, 5), stall(50, 9), stall(900, 9, pin=None, mr=None), stall(70, 9, role="app")]
    lost = costs(revoked_mrs=3, killed_tasks=1, failed_remote_ops=2)
    add_run(store, "r1", "lease", params=json.dumps(params), tables={"conflicts": rows, "stalls": waits, "costs": lost})
    add_run(store, "r2", "none", tables={"stalls": waits})
    (row,) = answer(store, "lease-breaks")
    assert (row["app"], row["break_time"], row["on_timeout"], row["settings"]) == ("60s", "50ms", "kill", "hw.revoke=device")
    assert (row["breaks"], row["timeouts"], row["timeout_share"]) == (4, 1, 0.25)
    assert (row["longest_ns"], row["longest_open"], row["total_ns"], row["unbounded"]) == (50, False, 73, 0)
    assert (row["revoked_mrs"], row["killed_tasks"], row["failed_remote_ops"], row["lost_write_bytes"]) == (3, 1, 2, 3 * 4096)


def test_lease_breaks_are_in_the_order_of_their_durations(store: Store) -> None:
    add_trace(store)
    apps = ["0", "900ns", "1.5us", "20us", "3ms", "1s", "12s", "600s"]
    for number, app in enumerate(reversed(apps)):
        add_run(store, f"r{number}", "lease", params=json.dumps({"lease.app": app, "lease.break_time": "45s"}))
    assert [row["app"] for row in answer(store, "lease-breaks")] == apps


def test_collateral_compares_what_went_with_what_had_to(store: Store) -> None:
    add_trace(store, tables={"mrs": [{"mr": 0, "bytes": 1000}, {"mr": 1, "bytes": 2000}]})
    rows = [revocation(0, "lease_break", 5), revocation(1, "collateral", 5), revocation(2, "timeout_kill", 6, npages=1)]
    add_run(store, "r1", "lease", params='{"hw.revoke": "ucontext", "lease.app": "5ms"}', tables={"revocations": rows})
    (row,) = answer(store, "collateral")
    assert (row["granularity"], row["settings"]) == ("ucontext", "lease.app=5ms")
    assert (row["revoked_mrs"], row["needed_mrs"], row["collateral_mrs"]) == (3, 2, 1)
    assert (row["revoked_bytes"], row["needed_bytes"]) == (7096, 5096)
    assert row["factor"] == 7096 / 5096


def test_allocation_is_the_share_of_pins_over_holes(store: Store) -> None:
    pins = [{"pin": pin, "mr": 0, "tid": APP, "file": FILE, "npages": 7 + pin, "longterm": pin != 2} for pin in range(4)]
    add_trace(store, tables={"tasks": TASKS, "pins": pins})
    refusal = {"ts": 1, "errno": -22, "tid": APP, "file": FILE, "index": 0, "mr": 0}
    rows = [{**refusal, "reason": "need_allocated", "pin": 1, "npages": 8}, {**refusal, "reason": "refuse_dax", "pin": 3, "npages": 10}]
    add_run(store, "r1", "immutable", tables={"refusals": rows})
    add_run(store, "r2", "deny", tables={"refusals": rows})
    (row,) = answer(store, "allocation")
    assert (row["policy"], row["owner"], row["file"]) == ("immutable", "app/10", FILE)
    assert (row["pins"], row["refused_pins"], row["pages"], row["refused_pages"], row["share"]) == (3, 1, 25, 8, 1 / 3)


def test_failed_ops_count_calls_and_name_the_error(store: Store) -> None:
    add_trace(store, tables={"tasks": TASKS})
    rows = [conflict("failed_fs_op", 2, 5), conflict("failed_fs_op", 3, 5), conflict("failed_fs_op", 1, 8)]
    add_run(store, "r1", "immutable", tables={"conflicts": rows})
    add_run(store, "r2", "lease-exclusive", tables={"conflicts": [conflict("lease_denied", 2, 6)]})
    found = answer(store, "failed-ops")
    assert [(row["policy"], row["caller"], row["error"], row["failed"], row["pages"], row["holder"], row["first_ts"]) for row in found] == [
        ("lease-exclusive", "admin/20", "ETXTBSY", 1, 2, "app/10", 6),
        ("immutable", "admin/20", "EPERM", 2, 6, "app/10", 5),
    ]


def test_progress_counts_each_operation_once(store: Store) -> None:
    events = [event("punch", ts, ADMIN) for ts in (1, 2, 3, 4, 5)] + [event("remote_write", ts) for ts in range(6, 13)]
    events.append(event("fsync", 20))
    add_trace(store, tables={"events": events, "mrs": [{"mr": 0, "result": 0}, {"mr": 1, "result": 0}, {"mr": 2, "result": -95}]})
    waits = [stall(5, 1), stall(7, 1), stall(9, 2, unbounded=True), stall(3, 7, "remote_write", "remote", tid=APP)]
    refused = [{"ts": 1, "reason": "refuse_dax", "errno": -95, "tid": APP, "npages": 3, "mr": mr} for mr in (1, 1, 2)]
    rows = {"stalls": waits, "conflicts": [conflict("failed_fs_op", 1, 3)], "refusals": refused}
    add_run(store, "r1", "none", tables={**rows, "costs": costs(failed_remote_ops=2, lost_remote_ops=1)})
    found = answer(store, "progress")
    columns = ("kind", "recorded", "at_once", "waited", "failed", "never", "moved_share")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("fsync", 1, 1, 0, 0, 0, 1),
        ("layout change", 5, 2, 1, 1, 1, 3 / 5),
        ("registration", 2, 1, 0, 1, 0, 1 / 2),
        ("remote access", 7, 3, 1, 2, 1, 4 / 7),
    ]


def test_space_held_is_set_against_files_without_a_name(store: Store) -> None:
    unlinks = pa.table({"seq": [0, 1], "ts": [100, 200], "dev": [8, 8], "ino": [5, 6], "size": [8192, 1]})
    evicts = pa.table({"seq": [2, 3], "ts": [50, 600], "dev": [8, 8], "ino": [5, 5], "nlink": [0, 0]})
    add_trace(store, raw={("ext4", "ext4_unlink_enter"): unlinks, ("ext4", "ext4_evict_inode"): evicts})
    held = {"metric": "held_block_seconds", "unit": "block seconds", "dur": 10}
    series = [{**held, "ts": ts, "value": value * 1e-9} for ts, value in ((0, 30), (10, 70))]
    rows = {"conflicts": [conflict("space_held", 7, 5), conflict("enospc_induced", 2, 6)], "series": series}
    add_run(store, "r1", "busy-blocks", tables={**rows, "costs": costs(held_block_seconds=0.0000036)})
    add_run(store, "r2", "none", tables=rows)
    (row,) = answer(store, "space-held")
    assert (row["policy"], row["held_pages"], row["peak_blocks"], row["enospc_pages"]) == ("busy-blocks", 7, 7, 2)
    assert row["unlinked_block_seconds"] == pytest.approx((2 * 500 + 800) * 1e-9)
    assert row["ratio"] == pytest.approx(2)


def test_unsynced_lasts_from_fsync_to_fsync_or_as_long_as_the_pin(store: Store) -> None:
    pin = {"mr": 0, "tid": APP, "file": FILE, "npages": 1, "write": True}
    pins = [
        {**pin, "pin": 0, "ts_pin": 100, "ts_unpin": 300},
        {**pin, "pin": 1, "ts_pin": 200, "ts_unpin": 500},  # one span with the first
        {**pin, "pin": 2, "ts_pin": 700, "ts_unpin": None},
        {**pin, "pin": 3, "ts_pin": 0, "ts_unpin": None, "write": False},
    ]
    events = [event("fsync", ts) for ts in (50, 150, 400, 900)]
    add_trace(store, tables={"pins": pins, "events": events, "files": [{"file": FILE, "file_id": 0, "dax": False}]})
    add_run(store, "r1", "none", tables={"conflicts": [conflict("fsync_misses_pinned", 3, 150, "fsync")]})
    add_run(store, "r2", "hold-off", tables={"stalls": [stall(40, 150, "fsync", "app"), stall(350, 150, "fsync", "app")]})
    add_run(store, "r3", "odp")
    add_run(store, "r4", "mainline", tables={"refusals": [{"ts": 1, "file": FILE, "pin": pin} for pin in range(4)]})
    columns = ("policy", "unsynced_ns", "unsynced_open", "fsyncs", "missed", "stalls", "longest_ns")
    assert [tuple(row[name] for name in columns) for row in answer(store, "unsynced")] == [
        ("none", 250, False, 3, 3, 0, 0),
        ("hold-off", 400, False, 3, 0, 2, 350),
    ]


def test_reclaim_or_bounce_shares_out_what_is_at_risk(store: Store) -> None:
    add_trace(store)
    classes = {
        "priv_released_pinned": 3,
        "wb_while_pinned": 5,
        "dirty_after_clean": 7,
        "fsync_misses_pinned": 2,
        "truncate_while_pinned": 3,
    }
    rows = [conflict(name, npages, 5) for name, npages in classes.items()] + [conflict("unmap_refused", 100, 5, risk="pressure")]
    add_run(store, "r1", "none", tables={"conflicts": rows})
    add_run(store, "r2", "bounce", tables={"conflicts": [conflict("torn_snapshot", 11, 5)], "costs": costs(bounce_bytes=45056)})
    none, bounce = answer(store, "reclaim-or-bounce")
    assert (none["at_risk_pages"], none["stripped_pages"], none["stripped_share"], none["written_share"]) == (20, 3, 0.15, 0.25)
    assert (none["clean_pages"], none["layout_pages"], none["torn_pages"], none["bounce_bytes"]) == (9, 3, 0, 0)
    assert (bounce["at_risk_pages"], bounce["torn_pages"], bounce["bounce_bytes"]) == (11, 11, 45056)


def test_wasted_writeback_is_what_a_device_may_undo(store: Store) -> None:
    add_trace(store, tables={"events": [event("wb_start", 5, npages=7), event("wb_start", 6, npages=None), event("dirty", 7, npages=9)]})
    add_run(store, "r1", "none", tables={"conflicts": [conflict("wb_while_pinned", 3, 5)]})
    add_run(store, "r2", "bounce", tables={"costs": costs(bounce_bytes=5 * 4096, rewrite_bytes=4 * 4096)})
    columns = ("recorded_bytes", "pinned_bytes", "rewrite_bytes", "amplification")
    assert [tuple(row[name] for name in columns) for row in answer(store, "wasted-writeback")] == [
        (8 * 4096, 3 * 4096, 0, 1),
        (8 * 4096, 5 * 4096, 4 * 4096, 1.5),
    ]


def test_cow_counts_reflinks_that_met_a_pin(store: Store) -> None:
    add_trace(store, tables={"events": [event("reflink", ts, ADMIN) for ts in (1, 2, 3)]})
    rows = [conflict("layout_break", 2, 1, "reflink"), conflict("failed_fs_op", 2, 2, "reflink"), conflict("failed_fs_op", 2, 2, "punch")]
    rows.append(conflict("cow_divergence", 5, 8, "dirty"))
    add_run(store, "r1", "hold-off", tables={"conflicts": rows, "stalls": [stall(9, 1, "reflink"), stall(90, 1, "punch")]})
    (row,) = answer(store, "cow")
    assert (row["reflinks"], row["met"], row["failed"], row["stalls"], row["longest_ns"], row["diverged_pages"]) == (3, 2, 1, 1, 9, 5)


def test_odp_counts_faults_and_accesses_behind_the_end(store: Store) -> None:
    mrs = [{"mr": mr, "file": FILE, "index": 0, "npages": 10, "ts_reg": 10, "ts_dereg": 90, "result": 0} for mr in (0, 1)]
    truncates = [event("truncate", 5, index=0), event("truncate", 50, index=4), event("truncate", 60, index=20)]
    accesses = [(40, 9, 0), (51, 2, 0), (51, 3, 0), (52, 9, 1), (53, 9, None)]  # the second but one reaches behind page 4
    reads = [event("remote_read", ts, index=index, npages=2, mr=mr) for ts, index, mr in accesses]
    add_trace(store, tables={"events": truncates + reads, "mrs": mrs})
    waits = [stall(dur, 5, "remote_read", "remote") for dur in (3, 5, 7)] + [stall(100, 5, "fsync", "app")]
    add_run(store, "r1", "odp", tables={"costs": costs(odp_faults=3, odp_invalidations=2), "stalls": waits})
    add_run(store, "r2", "none", tables={"stalls": waits})
    (row,) = answer(store, "odp")
    assert (row["accesses"], row["faults"], row["invalidations"]) == (5, 3, 2)
    assert (row["median_ns"], row["longest_ns"], row["total_ns"]) == (5, 7, 15)
    assert (row["behind_end"], row["behind_mrs"]) == (2, 2)


def test_migration_names_whose_pins_were_in_the_way(store: Store) -> None:
    attempts = pa.table({"seq": [0, 1, 2], "ts": [1, 2, 3], "succeeded": [7, 0, 5], "failed": [0, 2, 11]})
    add_trace(store, TRACE, tables={"tasks": TASKS}, raw={("migrate", "mm_migrate_pages"): attempts})
    rows = [conflict("migrate_refused", 2, 5, "migrate", risk="pressure"), conflict("migrate_refused", 3, 6, "migrate", risk="pressure")]
    rows += [conflict("unmap_refused", 1, 7, "reclaim", risk="pressure"), conflict("wb_while_pinned", 9, 8)]
    add_run(store, "r1", "hold-off", tables={"conflicts": rows})
    found = answer(store, "migration")
    assert [(row["class"], row["file"], row["holder"], row["attempts"], row["pages"], row["bytes"]) for row in found] == [
        ("migration_failed", None, None, 2, 13, 13 * 4096),
        ("migrate_refused", FILE, "app/10", 2, 5, 5 * 4096),
        ("unmap_refused", FILE, "app/10", 1, 1, 4096),
    ]
