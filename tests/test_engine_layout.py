"""The engine's layout decision and recorded stalls, in scenarios whose outcome is derived by hand.

Task 10 (process 10) and task 11 (its thread) own MRs on file 8:1:42 unless said otherwise, task 20 is an administrator.
"""

from __future__ import annotations

from typing import Any

from builders.scenario import DAX, END, MS, at, mr_dereg, mr_reg, punch, truncate

# -- wait, fail, proceed_busy -----------------------------------------------------------------------------------------


def test_wait_ends_with_the_last_pin_of_the_range(replay_events: Any) -> None:
    # Pages 2..5 are asked for: MR 1 holds 0..3 until 10 ms, MR 2 holds 3..3 until 30 ms, MR 3 holds 9 for longer.
    events = [
        *(mr_reg(0, 1, 0, 4, file=DAX, dax=True), mr_reg(0, 2, 3, 1, file=DAX), mr_reg(0, 3, 9, 1, file=DAX)),
        *(punch(5, 2, 4, file=DAX), mr_dereg(10, 1, file=DAX), mr_dereg(30, 2, file=DAX), mr_dereg(50, 3, file=DAX), END),
    ]
    outcome = replay_events(events, "hold-off")
    assert outcome.pages == {"layout_break": 2}
    (stall,) = outcome.rows("stalls")
    assert (stall["ts"], stall["dur"], stall["role"], stall["tid"], stall["index"], stall["npages"]) == (
        5 * MS,
        25 * MS,
        "breaker",
        20,
        2,
        2,
    )


def test_wait_goes_on_for_a_pin_that_comes_meanwhile(replay_events: Any) -> None:
    # The kernel rescans after each wake-up: MR 2 registers the page before MR 1 lets go.
    events = [
        *(mr_reg(0, 1, 0, 2, file=DAX, dax=True), punch(5, 0, 2, file=DAX), mr_reg(7, 2, 0, 1, file=DAX)),
        *(mr_dereg(10, 1, file=DAX), mr_dereg(12, 2, file=DAX), END),
    ]
    assert replay_events(events, "hold-off").stalls == [("punch", 7 * MS, False)]


def test_page_cache_files_are_not_waited_for(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 2), punch(5, 0, 2), mr_dereg(10, 1)]
    outcome = replay_events(events, "hold-off")
    assert (outcome.pages, outcome.stalls) == ({"truncate_while_pinned": 2}, [])


def test_a_failed_operation_leaves_everything_as_it_was(replay_events: Any) -> None:
    # Denied twice; the pages are still pinned, so both count. An unpinned range is let through.
    events = [mr_reg(0, 1, 0, 4), truncate(1, 2), punch(2, 3, 2), punch(3, 7, 2), mr_dereg(9, 1)]
    outcome = replay_events(events, "immutable")
    assert (outcome.pages, outcome.costs["failed_fs_ops"]) == ({"failed_fs_op": 3}, 2)
    assert replay_events(events, "lease-exclusive").pages == {"lease_denied": 3}


def test_a_failed_operations_deletions_do_not_happen(replay_events: Any) -> None:
    events = [
        *(mr_reg(0, 1, 0, 2), punch(1, 0, 2, dur=MS), at(1.5, "cache_del", 20, index=0, npages=2)),
        *(at(5, "dirty", index=0, npages=2), at(6, "wb_start", 2, index=0, npages=2, sync=False), mr_dereg(9, 1)),
    ]
    assert replay_events(events, "immutable").pages == {"failed_fs_op": 2, "wb_while_pinned": 2, "dirty_after_clean": 2}
    assert replay_events(events, "none").pages == {"truncate_while_pinned": 2}


def test_an_exclusive_leases_own_process_goes_on(replay_events: Any) -> None:
    # Thread 11 of the owner punches: Matthew Wilcox's objection.
    events = [mr_reg(0, 1, 0, 4), punch(1, 2, 2, tid=11), mr_dereg(9, 1)]
    assert replay_events(events, "lease-exclusive").pages == {"truncate_while_pinned": 2}
    assert replay_events(events, "immutable").pages == {"failed_fs_op": 2}


def test_busy_blocks_are_held_until_their_last_pin(replay_events: Any) -> None:
    # Pages 0..5 at 10 ms. MR 1 holds 0..3 until 20 ms, MR 2 holds 2..5 until 50 ms: 0, 1 for 10 ms, 2..5 for 40 ms.
    events = [mr_reg(0, 1, 0, 4), mr_reg(0, 2, 2, 4), truncate(10, 0), mr_dereg(20, 1), mr_dereg(50, 2)]
    outcome = replay_events(events, "busy-blocks")
    assert outcome.pages == {"space_held": 6}
    assert outcome.costs["held_block_seconds"] == (2 * 10 + 4 * 40) / 1000
    # Two instances of page 0, freed one after the other while MR 1, then MR 2 hold them: 30 ms and 15 ms.
    events = [mr_reg(0, 1, 0, 1), punch(10, 0, 1), mr_reg(20, 2, 0, 1), punch(25, 0, 1), mr_dereg(40, 1), mr_dereg(40, 2)]
    assert replay_events(events, "busy-blocks").costs["held_block_seconds"] == 0.045


def test_busy_blocks_under_another_layout_decision(replay_events: Any) -> None:
    # The page of a short-term pin is let go by a lease; its block stays busy for the 4 ms until the unpin.
    events = [at(0, "pin", pin=1, index=0, npages=2, write=True, longterm=False), punch(5, 0, 1), at(9, "unpin", pin=1, index=0, npages=2)]
    outcome = replay_events(events, "lease+busy-blocks")
    assert outcome.pages == {"truncate_while_pinned": 1, "space_held": 1}
    assert outcome.costs["held_block_seconds"] == 0.004


def test_an_operation_that_failed_when_recorded_does_nothing(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 4), truncate(5, 2, result=-26), mr_dereg(9, 1)]
    for policy in ("none", "lease", "immutable", "busy-blocks"):
        assert (replay_events(events, policy).pages, replay_events(events, policy).stalls) == ({}, []), policy


def test_a_reflink_orphans_nothing(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 4), at(1, "reflink", 20, index=0, npages=4, dur=0), mr_dereg(9, 1)]
    assert replay_events(events, "none").pages == {}
    assert replay_events(events, "immutable").pages == {"failed_fs_op": 4}


# -- recorded stalls --------------------------------------------------------------------------------------------------


def test_a_recorded_lease_break_is_replaced_by_the_policys_own(replay_events: Any) -> None:
    # Recorded: the truncate waited 120 ms for the lease. Its task's punch at 130 ms would have come at 10 ms without,
    # when MR 2 (until 50 ms) still holds page 20; under lease it comes 1 ms later, at 11 ms.
    events = [
        *(mr_reg(0, 1, 0, 4), mr_reg(0, 2, 20, 1, tid=30, file="8:1:99"), truncate(5, 2, dur=121 * MS)),
        *(at(5, "lease_break", 20, dur=120 * MS), mr_dereg(50, 2, tid=30, file="8:1:99"), mr_dereg(120, 1)),
        *(punch(130, 20, 1, file="8:1:99"), END),
    ]
    rows = replay_events(events, "none").rows("conflicts")
    assert [(row["class"], row["ts"], row["index"]) for row in rows] == [
        ("truncate_while_pinned", 5 * MS, 2),
        ("truncate_while_pinned", 10 * MS, 20),
    ]
    outcome = replay_events(events, "lease", {"lease.scope": "range"})
    assert [(row["op"], row["ts"], row["dur"]) for row in outcome.rows("stalls")] == [("truncate", 5 * MS, MS), ("punch", 11 * MS, MS)]


def test_a_recorded_layout_wait_is_evidence_of_pins_that_nobody_saw(replay_events: Any) -> None:
    events = [
        punch(5, 2, 4, file=DAX, dax=True, dur=21 * MS),
        at(6, "layout_wait", 20, index=3, npages=1, dur=20 * MS, busy=True, file=DAX),
        END,
    ]
    for policy in ("hold-off", "lease"):
        outcome = replay_events(events, policy)
        (stall,) = outcome.rows("stalls")
        assert (stall["op"], stall["ts"], stall["dur"], stall["unbounded"], stall["pin"]) == ("punch", 6 * MS, 20 * MS, False, None), policy
        assert outcome.pages == {"layout_break": 1}, policy
    assert replay_events(events, "busy-blocks").stalls == []
    # Still open at the end of the trace.
    events[1]["dur"] = None
    assert replay_events(events, "hold-off").stalls == [("punch", 994 * MS, True)]


def test_a_recorded_layout_wait_for_a_known_pin_counts_once(replay_events: Any) -> None:
    events = [
        *(mr_reg(0, 1, 0, 4, file=DAX, dax=True), punch(5, 2, 2, file=DAX, dur=21 * MS)),
        *(at(6, "layout_wait", 20, index=2, npages=2, dur=20 * MS, busy=True, file=DAX), mr_dereg(26, 1, file=DAX), END),
    ]
    outcome = replay_events(events, "hold-off")
    assert (outcome.pages, outcome.stalls) == ({"layout_break": 2}, [("punch", 21 * MS, False)])
