"""The engine's lease breaks, in scenarios whose outcome is derived by hand.

Task 10 (process 10) and task 11 (its thread) own MRs on file 8:1:42 unless said otherwise, task 20 is an administrator.
"""

from __future__ import annotations

from typing import Any

import pytest
from builders.scenario import DAX, END, MS, at, mr_dereg, mr_reg, punch, remote, truncate


def test_a_break_takes_as_long_as_its_slowest_owner(replay_events: Any) -> None:
    # app 1 ms + 2 rounds x 1 ms + dereg (1 ms + 0.1 ms/page): task 10 gives up MRs of 10 and 20 pages: 3 + 2 + 3 = 8 ms;
    # task 30 one of 10 pages: 3 + 2 = 5 ms. The range meets 5 pages.
    events = [
        *(mr_reg(0, 1, 0, 10), mr_reg(0, 2, 20, 20), mr_reg(0, 3, 50, 10, tid=30)),
        *(punch(5, 5, 5), mr_dereg(100, 1), mr_dereg(100, 2), mr_dereg(100, 3, tid=30)),
    ]
    params = {"lease.rtt": "1ms", "mr.dereg": "1ms+0.1ms/page"}
    outcome = replay_events(events, "lease", params)
    assert outcome.stalls == [("punch", 8 * MS, False)]
    assert outcome.pages == {"lease_break": 5, "collateral_revoke": 30}
    assert (outcome.costs["revoked_mrs"], outcome.costs["collateral_mrs"]) == (3, 2)
    assert [(row["reason"], row["mr"], row["ts"]) for row in outcome.rows("revocations")] == [
        ("collateral", 2, 10 * MS),
        ("lease_break", 0, 13 * MS),
        ("collateral", 1, 13 * MS),
    ]
    # Only the range: one MR, 3 + 2 ms.
    outcome = replay_events(events, "lease", {**params, "lease.scope": "range"})
    assert outcome.stalls == [("punch", 5 * MS, False)]
    assert (outcome.pages, outcome.costs["revoked_mrs"]) == ({"lease_break": 5}, 1)


def test_a_break_of_an_unpinned_range_still_breaks_the_inodes_lease(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 4), truncate(5, 10), mr_dereg(100, 1)]
    outcome = replay_events(events, "lease")
    assert (outcome.pages, outcome.stalls) == ({"collateral_revoke": 4}, [("truncate", MS, False)])
    assert replay_events(events, "lease", {"lease.scope": "range"}).stalls == []


def test_a_break_without_a_pinned_page_in_its_range_is_a_row_of_no_page(replay_events: Any) -> None:
    # So is its time-out, and reports that count breaks count both.
    events = [mr_reg(0, 1, 0, 4), truncate(5, 10), mr_dereg(100, 1)]
    outcome = replay_events(events, "lease", {"lease.app": "1s", "lease.break_time": "10ms"})
    rows = outcome.rows("conflicts")
    assert [(row["class"], row["ts"], row["index"], row["npages"], row["mr"], row["victim_tid"]) for row in rows] == [
        ("lease_break", 5 * MS, 10, 0, 0, 20),
        ("lease_break_timeout", 15 * MS, 10, 0, 0, 20),
    ]


def test_a_context_that_was_torn_down_registers_nothing_any_more(replay_events: Any) -> None:
    # MR 1 goes at 25 ms. MR 2 is the same context's, MR 3 another device's, MR 4 another process's.
    events = [
        *(mr_reg(0, 1, 0, 4), punch(5, 2, 2), mr_reg(30, 2, 10, 3), mr_reg(31, 3, 20, 2, device="mlx5_1"), mr_reg(32, 4, 30, 1, tid=30)),
        *(at(40, "reclaim", 2, index=0, npages=40), mr_dereg(50, 1), END),
    ]
    outcome = replay_events(events, "lease", {"lease.app": "1s", "lease.break_time": "20ms", "lease.on_timeout": "fail_io"})
    assert [(row["reason"], row["errno"], row["mr"], row["npages"]) for row in outcome.rows("refusals")] == [("torn_down", -5, 1, 3)]
    assert (outcome.pages["pin_refused"], outcome.pages["unmap_refused"]) == (3, 3)


def test_pins_that_drop_by_themselves_end_a_break(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 4), punch(5, 0, 2), mr_dereg(8, 1), END]
    outcome = replay_events(events, "lease", {"lease.app": "50ms"})
    assert (outcome.stalls, outcome.rows("revocations")) == ([("punch", 3 * MS, False)], [])


@pytest.mark.parametrize(
    ("hardware", "revoked", "collateral"),
    [
        ("mr", ["0"], 0),
        ("ucontext", ["0", "2"], 1),  # MR 3 is the same process's on the same device
        ("device", ["0", "1", "2"], 2),  # and MR 2 another process's
    ],
)
def test_hardware_that_revokes_more_than_one_mr(replay_events: Any, hardware: str, revoked: list[str], collateral: int) -> None:
    other = {"file": "8:1:99"}
    events = [
        *(mr_reg(0, 1, 0, 4), mr_reg(0, 2, 0, 4, tid=30, **other), mr_reg(0, 3, 0, 4, tid=11, **other)),
        *(mr_reg(0, 4, 9, 4, device="mlx5_1", **other), punch(5, 0, 2), mr_dereg(100, 1), END),
    ]
    outcome = replay_events(events, "lease", {"hw.revoke": hardware})
    assert sorted(str(row["mr"]) for row in outcome.rows("revocations")) == revoked
    assert outcome.costs.get("collateral_mrs", 0) == collateral
    assert outcome.pages.get("collateral_revoke", 0) == 4 * collateral


def test_hardware_that_cannot_revoke(replay_events: Any) -> None:
    # On the page cache: after the time-out the breaker waits for the release at 80 ms, whatever on_timeout asks for.
    events = [mr_reg(0, 1, 0, 4), punch(5, 0, 2), mr_dereg(80, 1), END]
    outcome = replay_events(events, "lease", {"hw.revoke": "none", "lease.break_time": "20ms", "lease.on_timeout": "kill"})
    assert outcome.stalls == [("punch", 75 * MS, False)]
    assert outcome.pages == {"lease_break": 2, "lease_break_timeout": 2, "lease_zombie": 2}
    # On DAX it is not let in.
    events = [mr_reg(0, 1, 0, 4, file=DAX, dax=True), punch(5, 0, 2, file=DAX), END]
    outcome = replay_events(events, "lease", {"hw.revoke": "none"})
    assert (outcome.pages, outcome.rows("refusals")[0]["reason"]) == ({"pin_refused": 4}, "refuse_unrevocable")


def test_time_out_then_wait_for_the_range_only(replay_events: Any) -> None:
    # break_time 20 ms + rounding 4 ms: time-out at 29 ms. The range's pin goes at 40 ms, the other MR's at 90 ms.
    events = [mr_reg(0, 1, 0, 4), mr_reg(0, 2, 10, 4), punch(5, 2, 2), mr_dereg(40, 1), mr_dereg(90, 2), END]
    params = {"lease.app": "600s", "lease.break_time": "20ms", "lease.timer_rounding": "4ms"}
    outcome = replay_events(events, "lease", params)
    assert outcome.stalls == [("punch", 35 * MS, False)]
    assert outcome.pages == {"lease_break": 2, "lease_break_timeout": 2, "lease_zombie": 2}
    assert {row["ts"] for row in outcome.rows("conflicts") if row["class"] == "lease_break_timeout"} == {29 * MS}
    # A late answer ends it as well: at 5 + 30 ms.
    assert replay_events(events, "lease", {**params, "lease.app": "30ms"}).stalls == [("punch", 30 * MS, False)]
    # In time, there is no time-out.
    assert "lease_break_timeout" not in replay_events(events, "lease", {**params, "lease.app": "24ms"}).pages


def test_time_out_then_fail_io(replay_events: Any) -> None:
    # The whole context goes, also MR 2 of another file; remote accesses through either fail for good.
    events = [
        *(mr_reg(0, 1, 0, 4), mr_reg(0, 2, 0, 3, file="8:1:99"), punch(5, 2, 2), remote(20, 1, 0)),
        *(remote(30, 1, 0), {**remote(31, 2, 0), "file": "8:1:99"}, mr_dereg(100, 1), mr_dereg(100, 2)),
    ]
    outcome = replay_events(events, "lease", {"lease.app": "1s", "lease.break_time": "20ms", "lease.on_timeout": "fail_io"})
    assert outcome.stalls == [("punch", 20 * MS, False)]
    assert outcome.pages == {"lease_break": 2, "lease_break_timeout": 2, "collateral_revoke": 3, "remote_op_failed": 2}
    assert outcome.costs["failed_remote_ops"] == 2
    assert {row["reason"] for row in outcome.rows("revocations")} == {"timeout_fail_io"}


def test_time_out_then_kill(replay_events: Any) -> None:
    # Process 10 dies at 25 ms: its thread's punch at 30 ms is removed, and so is nobody else's.
    events = [
        *(mr_reg(0, 1, 0, 4), mr_reg(0, 2, 20, 4, tid=30), punch(5, 2, 2), punch(30, 20, 1, tid=11), punch(31, 21, 1, tid=40)),
        *(mr_dereg(35, 2, tid=30), mr_dereg(100, 1)),
    ]
    params = {"lease.app": "1s", "lease.break_time": "20ms", "lease.on_timeout": "kill", "lease.scope": "range"}
    outcome = replay_events(events, "lease", params)
    assert outcome.costs["killed_tasks"] == 1
    assert outcome.pages["killed"] == 4
    assert [(row["op"], row["tid"], row["ts"]) for row in outcome.rows("stalls")] == [("punch", 20, 5 * MS), ("punch", 40, 31 * MS)]


def test_an_owner_that_answered_in_time_is_not_punished(replay_events: Any) -> None:
    # Task 30's MR of 1 page takes 10 ms to give up, task 10's of 100 pages a second.
    events = [mr_reg(0, 1, 0, 100), mr_reg(0, 2, 200, 1, tid=30), truncate(5, 0), mr_dereg(900, 1), mr_dereg(900, 2, tid=30)]
    params = {"lease.app": "0", "mr.dereg": "10ms/page", "lease.break_time": "20ms", "lease.on_timeout": "kill"}
    outcome = replay_events(events, "lease", params)
    assert (outcome.costs["killed_tasks"], outcome.pages["lease_break_timeout"]) == (1, 100)
    assert [(row["reason"], row["mr"]) for row in outcome.rows("revocations")] == [("lease_break", 1), ("timeout_kill", 0)]


def test_registering_again_after_the_operation(replay_events: Any) -> None:
    # Revoked at 6 ms; the truncate runs for 2 ms; registered at 8 + 1 ms for what is left, pages 0, 1. Accesses fail
    # between. Writeback at 20 ms meets the 2 pages that are pinned again.
    events = [
        *(mr_reg(0, 1, 0, 4), truncate(5, 2, dur=2 * MS), remote(5.5, 1, 0), remote(6.5, 1, 0), remote(8.5, 1, 0), remote(9.5, 1, 0)),
        *(at(19, "dirty", index=0, npages=4), at(20, "wb_start", 2, index=0, npages=4, sync=False), mr_dereg(100, 1)),
    ]
    outcome = replay_events(events, "lease", {"mr.reg": "1ms"})
    assert outcome.pages["remote_op_failed"] == 2
    assert outcome.pages["wb_while_pinned"] == 2
    outcome = replay_events(events, "lease", {"mr.reg": "1ms", "lease.reregister": "never"})
    assert outcome.pages["remote_op_failed"] == 3
    assert "wb_while_pinned" not in outcome.pages


def test_the_owners_clock_moves_by_revocation_and_registration(replay_events: Any) -> None:
    # dereg 2 ms, reg 3 ms: the owner's release, recorded at 50 ms, comes at 55 ms. The second punch, recorded at 52 ms,
    # comes at 54 ms behind the first one's wait, meets the pin, and waits for that release.
    events = [mr_reg(0, 1, 0, 4), punch(5, 0, 1), mr_dereg(50, 1), punch(52, 1, 1), END]
    outcome = replay_events(events, "lease", {"lease.app": "0", "mr.reg": "3ms", "mr.dereg": "2ms"})
    assert outcome.stalls == [("punch", 2 * MS, False), ("punch", MS, False)]


@pytest.mark.parametrize("first", ["lease_break", "truncate"])
def test_an_operations_own_time_is_what_it_took_without_its_recorded_waits(replay_events: Any, first: str) -> None:
    # The truncate took 121 ms, of which it waited 120 ms for the lease: begun at 6 ms it is done at 7 ms, and the MR is back
    # for the access at 8 ms. Both rows begin at the same instant, and either may come first.
    rows = [at(5, "lease_break", 20, dur=120 * MS), truncate(5, 2, dur=121 * MS)]
    rows.sort(key=lambda row: row["op"] != first)
    outcome = replay_events([mr_reg(0, 1, 0, 4), *rows, remote(6.5, 1, 0), remote(8, 1, 0), mr_dereg(200, 1)], "lease")
    assert outcome.stalls == [("truncate", MS, False)]
    assert outcome.pages["remote_op_failed"] == 1


def test_short_pins_have_no_lease(replay_events: Any) -> None:
    short = [
        at(0, "pin", pin=1, index=0, npages=2, write=True, longterm=False, file=DAX, dax=True),
        punch(5, 0, 4, file=DAX),
        at(9, "unpin", pin=1, index=0, npages=2, file=DAX),
        END,
    ]
    for policy in ("lease", "immutable", "odp", "deny"):
        outcome = replay_events(short, policy)
        assert (outcome.pages, outcome.stalls) == ({"layout_break": 2}, [("punch", 4 * MS, False)]), policy


def test_a_stall_beyond_the_trace_is_open(replay_events: Any) -> None:
    # The holder would answer at 605 s, but the trace ends at 1 s and may have shown a release before.
    events = [mr_reg(0, 1, 0, 4), punch(5, 0, 2), END]
    assert replay_events(events, "lease", {"lease.app": "600s"}).stalls == [("punch", 995 * MS, True)]


def test_pages_that_a_revocation_dirtied_are_written_by_the_next_fsync(replay_events: Any) -> None:
    # MR 0 pins pages 0..3, clean. A punch of page 9 (scope inode: collateral 4) takes it at 5 ms, which dirties the 4 pages,
    # and gives it back. The fsync at 50 ms writes these 4 while they are pinned again; the one at 60 ms finds them clean.
    # The release at 100 ms turns them from clean to dirty.
    events = [
        *(mr_reg(0, 1, 0, 4), punch(5, 9, 1)),
        *(at(50, "fsync", 20, dur=MS), at(60, "fsync", 20, dur=MS), mr_dereg(100, 1), END),
    ]
    outcome = replay_events(events, "lease", {"remote.activity": "recorded"})
    assert outcome.pages["wb_while_pinned"] == 4
    assert outcome.pages["collateral_revoke"] == 4
    assert outcome.pages["dirty_after_clean"] == 4
    # Held under a policy that revokes nothing: the recording shows no write, so there is none.
    assert "wb_while_pinned" not in replay_events(events, "none").pages
