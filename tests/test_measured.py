"""Validation beyond writebacks: recorded waits, refusals and balances against the replay's, on the sample recordings and made-up ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builders.stores import TRACE, add_trace

from replay import breaks
from replay.comparison import wait_row
from replay.ingest.pipeline import ingest_file
from replay.store import Store
from replay.validate import as_text, validate

SAMPLES = Path(__file__).parent.parent / "sample_traces"
FILE = "8:1:42"


def rows(result: Any, kind: str) -> list[dict[str, Any]]:
    return [row for row in result.table.to_pylist() if row["kind"] == kind]


@pytest.fixture(scope="module")
def lease_dax(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = Store(tmp_path_factory.mktemp("validated") / "store", create=True)
    return validate(store, [ingest_file(store, str(SAMPLES / "lease-dax.dat")).entry])


def test_recorded_lease_breaks_are_predicted_from_the_time_that_the_holder_took(lease_dax: Any) -> None:
    waits = rows(lease_dax, "lease break wait")
    assert [round(row["measured"] / 1e6) for row in waits] == [153, 127, 123, 134]
    assert all(row["within"] and row["error"] <= 0.05 for row in waits)
    assert all("for a CPU" in row["note"] for row in waits)
    own = rows(lease_dax, "the breaker's own clock")
    # What the program itself printed; see sample_traces/README.md.
    assert [round(row["measured"] / 1e9, 3) for row in own] == pytest.approx([0.161, 0.128, 0.124, 0.150], abs=0.017)
    assert all(row["within"] for row in own)


def test_the_wait_that_never_ends_is_found(lease_dax: Any) -> None:
    (row,) = rows(lease_dax, "unbounded DAX waits")
    assert (row["measured"], row["predicted"], row["agree"], row["within"]) == (1, 1, 1, True)
    assert "direct IO" in row["note"]
    assert not lease_dax.failed


def test_balances_of_a_recording(lease_dax: Any) -> None:
    (row,) = rows(lease_dax, "pages pinned at the end")
    assert (row["items"], row["measured"], row["predicted"], row["within"]) == (4096, 0, 0, True)
    (row,) = rows(lease_dax, "refused registrations")
    assert (row["items"], row["measured"], row["predicted"], row["within"]) == (4, 0, 0, True)


def break_events(*answers: int) -> list[dict[str, Any]]:
    """A holder with one MR for each break, which lets go so many nanoseconds later; the breaker goes on 2 ms after that."""
    events: list[dict[str, Any]] = []
    for number, answer in enumerate(answers):
        start = number * 200 * 10**9
        whole = {"file": FILE, "tid": 20, "comm": "breaker"}
        events += [
            {"ts": start, "op": "mr_reg", "mr": number, "tid": 10, "comm": "holder", "file": FILE, "index": 0, "npages": 4, "write": True},
            {"ts": start, "op": "pin", "mr": number, "pin": number, "tid": 10, "file": FILE, "index": 0, "npages": 4, "write": True},
            {"ts": start + 10, "op": "truncate", "index": 2, "dur": answer + 3_000_000, **whole},
            {"ts": start + 10, "op": "lease_break", "dur": answer + 2_000_000, **whole},
            {"ts": start + 10 + answer, "op": "lease_del", "tid": 10, "file": FILE},
        ]
    return [{"seq": seq, "cpu": 0, "tgid": event["tid"], "longterm": event["op"] == "pin", **event} for seq, event in enumerate(events)]


def validated(store: Store, **given: Any) -> Any:
    return validate(store, [add_trace(store, **given)])


def entities(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    pins = [
        {"pin": row["pin"], "mr": row["mr"], "tid": 10, "file": FILE, "index": 0, "npages": 4, "slot": 0, "ts_pin": row["ts"]}
        | {"write": True, "longterm": True, "preexisting": False}
        for row in events
        if row["op"] == "pin"
    ]
    mrs = [
        {"mr": pin["mr"], "tid": 10, "file": FILE, "npages": 4, "result": 0, "ts_reg": pin["ts_pin"], "write": True, "odp": False}
        | {"preexisting": False}
        for pin in pins
    ]
    slots = {"pin": (0, 4), "mr_reg": (0, 4), "truncate": (2, 2)}
    for row in events:
        row["slot"], row["nslots"] = slots.get(row["op"], (-1, 0))
        row["open"] = False
    return {
        "events": events,
        "pins": pins,
        "mrs": mrs,
        "files": [{"file": FILE, "file_id": 0, "dax": False, "slot": 0, "nslots": 4, "events": len(events)}],
        "slots": [{"file_id": 0, "index": 0, "npages": 4, "slot": 0}],
        "tasks": [{"tid": tid, "tgid": tid, "comm": "x", "kthread": False, "events": 1} for tid in (10, 20)],
    }


def test_a_break_is_predicted_without_the_time_in_which_its_breaker_waited_for_a_cpu(tmp_path: Path) -> None:
    result = validated(Store(tmp_path / "store", create=True), tables=entities(break_events(90_000_000)), ts_last=10**12)
    (wait,) = rows(result, "lease break wait")
    assert (wait["measured"], wait["predicted"], wait["error"], wait["within"]) == (92_000_000, 90_000_000, 0, True)
    (own,) = rows(result, "the breaker's own clock")
    assert (own["measured"], own["predicted"], own["within"]) == (93_000_000, 91_000_000, True)


def test_what_the_scheduler_tells_of_the_breaker_is_said(tmp_path: Path) -> None:
    gone = 10 + 90_000_000
    own = {"seq": [90, 91, 92], "cpu": [0] * 3, "buffer": [""] * 3}
    woken = pa.table({**own, "ts": [gone - 5_000_000, gone + 100_000, gone + 300_000], "pid": [20, 20, 10]})
    switched = pa.table({**own, "ts": [gone - 4_000_000, gone + 600_000, gone + 1_900_000], "next_pid": [20, 20, 20]})
    raw = {("sched", "sched_waking"): woken, ("sched", "sched_switch"): switched}
    result = validated(Store(tmp_path / "store", create=True), tables=entities(break_events(90_000_000)), raw=raw, ts_last=10**12)
    (wait,) = rows(result, "lease break wait")
    assert "2 ms of it after the lease was gone, for a CPU (500 us of that from being woken to running, by sched_switch)" in wait["note"]


def test_a_break_that_others_move_is_not_judged_where_it_differs() -> None:
    """All are replayed with one break's answer: what others took more or less is how far off the replay has this one."""
    same, other = wait_row("lease break wait", "x", 10**9, 10**9), wait_row("lease break wait", "x", 10**9, 5 * 10**8)
    assert [breaks._judged(same, 10**10)["within"], breaks._judged(other, 4_000_000)["within"]] == [True, False]
    moved = breaks._judged(other, -6_000_000)
    assert (moved["within"], moved["note"].endswith("6 ms off")) == (None, True)


def test_a_break_that_the_replay_would_let_expire_and_the_kernel_did_not_is_told(tmp_path: Path) -> None:
    result = validated(Store(tmp_path / "store", create=True), tables=entities(break_events(60 * 10**9)), ts_last=10**12)
    (wait,) = rows(result, "lease break wait")
    assert (wait["measured"], wait["predicted"], wait["within"]) == (60 * 10**9 + 2_000_000, 45 * 10**9, False)
    (expired,) = rows(result, "lease time-outs")
    assert (expired["measured"], expired["predicted"], expired["within"]) == (0, 1, False)
    assert result.failed
    assert "lease time-outs of work.dat" in result.notes[-1]
    assert "DIFFER" in as_text(result)


def refused(file: str, result: int) -> dict[str, list[dict[str, Any]]]:
    row = {"seq": 0, "ts": 0, "cpu": 0, "tid": 10, "tgid": 10, "op": "mr_reg", "mr": 0, "file": file, "index": 0, "npages": 4}
    return {
        "events": [{**row, "write": True, "result": result, "slot": -1, "nslots": 0, "open": False}],
        "mrs": [{"mr": 0, "tid": 10, "file": file, "npages": 0, "result": result, "write": True, "odp": False, "preexisting": False}],
        "files": [{"file": file, "file_id": 0, "dax": file == "dax", "slot": 0, "nslots": 0, "events": 1}],
        "tasks": [{"tid": 10, "tgid": 10, "comm": "x", "kthread": False, "events": 1}],
    }


@pytest.mark.parametrize(
    ("file", "result", "found"),
    [("dax", -95, (1, 1, True)), ("plain", -95, (1, 0, False)), ("plain", -14, (1, 1, True)), ("plain", -12, (0, 0, True))],
)
def test_refused_registrations_are_those_of_the_policy_of_that_kernel(
    file: str, result: int, found: tuple[int, int, bool], tmp_path: Path
) -> None:
    (row,) = rows(validated(Store(tmp_path / "store", create=True), tables=refused(file, result)), "refused registrations")
    assert (row["measured"], row["predicted"], row["within"]) == found


def test_calls_that_do_not_add_up_to_the_pins_and_pages_that_enter_twice_are_told(tmp_path: Path) -> None:
    own = {"seq": [0, 1], "ts": [0, 1], "cpu": [0, 0], "buffer": ["", ""]}
    raw = {
        ("gup", "pin_user_pages_fast_ret"): pa.table({**own, "ret": [8, -14]}),
        ("gup", "unpin_user_pages"): pa.table({**own, "pages": [1, 1], "npages": [3, 1]}),
    }
    adds = [
        {
            "seq": seq,
            "ts": seq,
            "cpu": 0,
            "tid": 1,
            "op": op,
            "file": FILE,
            "index": index,
            "npages": npages,
            "slot": index,
            "nslots": npages,
        }
        for seq, (op, index, npages) in enumerate([("cache_add", 0, 4), ("cache_del", 1, 1), ("cache_add", 1, 2), ("cache_del", 2, 1)])
    ]
    tables = {
        "events": [{**row, "open": False} for row in adds],
        "files": [{"file": FILE, "file_id": 0, "dax": False, "slot": 0, "nslots": 4, "events": 4}],
        "slots": [{"file_id": 0, "index": 0, "npages": 4, "slot": 0}],
        "tasks": [{"tid": 1, "tgid": 1, "comm": "x", "kthread": False, "events": 4}],
    }
    result = validated(Store(tmp_path / "store", create=True), tables=tables, raw=raw)
    (pins,) = rows(result, "pages pinned at the end")
    assert (pins["measured"], pins["predicted"], pins["within"]) == (4, 0, False)
    # Page 1 leaves and enters again, page 2 enters twice and leaves: of four followed pages one is wrong.
    (cache,) = rows(result, "cache adds against deletes")
    assert (cache["items"], cache["measured"], cache["predicted"], cache["within"]) == (8, 4, 3, False)
    assert result.failed


def balance(folder: Path, losses: list[dict[str, Any]], **raw: Any) -> list[dict[str, Any]]:
    own = {"seq": [0, 1], "ts": [0, 1], "cpu": [0, 0], "buffer": ["", ""]}
    calls = {"pin_user_pages_fast_ret": {"ret": [2, 1]}, "unpin_user_pages": {"pages": [1, 1], "npages": [1, 0]}, **raw}
    tables = {("replay", name): pa.table({**own, **fields}) for name, fields in calls.items()}
    result = validated(Store(folder, create=True), tables={"events": []}, raw=tables, losses=losses)
    return rows(result, "pages pinned at the end")


def test_pages_that_are_let_go_one_by_one_are_in_the_balance(tmp_path: Path) -> None:
    """And without the probes that tell them, there is none."""
    unknown = {"counter": "short_pins_unreleased", "cpu": None, "severity": "warning", "count": 2, "meaning": "m", "advice": "a."}
    (row,) = balance(tmp_path / "pages", [unknown], unpin_user_page={"page": [1, 2]})
    assert (row["measured"], row["predicted"], row["within"]) == (0, 0, True)
    (row,) = balance(tmp_path / "folios", [], unpin_user_folio={"folio": [1, 2], "npages": [1, 2]})
    assert (row["measured"], row["within"]) == (-1, False)
    assert balance(tmp_path / "none", [unknown]) == []


def test_what_a_lossy_trace_shows_is_not_judged(tmp_path: Path) -> None:
    lost = {"counter": "kernel_lost_events", "cpu": 0, "severity": "data_loss", "count": 3, "total": None, "meaning": "m", "advice": "a."}
    result = validated(Store(tmp_path / "store", create=True), tables=refused("plain", -95), losses=[lost], trace=TRACE)
    assert [row["within"] for row in result.table.to_pylist()] == [None, None]
    assert not result.failed


@pytest.mark.parametrize(
    ("waited", "seconds"),
    [(None, 45), (46_680_000_000, 45), (45_000_000_000, 45), (3_213_000_000, 3), (8_005_000_000, 8), (44_999_000_000, 44), (12_000_000, 1)],
)
def test_the_break_time_of_the_recorded_host(waited: int | None, seconds: int) -> None:
    """46.68 s and 8.005 s were seen of 45 s and 8 s."""
    assert breaks._break_time(waited) == seconds


def test_how_late_a_timer_may_fire() -> None:
    """At HZ=100 the bucket of 45 s is 512 jiffies wide; at HZ=250 that of 3 s is 64."""
    assert breaks._wheel(45) == 5_120_000_000
    assert breaks._wheel(3) == 256_000_000
