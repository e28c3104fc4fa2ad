"""Who queues for an inode's lock (propagate=inode), in scenarios whose outcome is derived by hand.

MR 1 holds pages 0..3 of a DAX file. Task 20 punches page 9 from 5 to 15 ms; who comes meanwhile queues until 15 ms, as recorded.
"""

from __future__ import annotations

from typing import Any

import pytest
from builders.scenario import DAX, END, MS, mr_reg, punch

INODE = {"propagate": "inode"}
FIRST = (mr_reg(0, 1, 0, 4, file=DAX, dax=True), punch(5, 9, 1, dur=10 * MS, file=DAX))
SECOND = punch(8, 0, 3, tid=21, dur=20 * MS, file=DAX)


@pytest.mark.parametrize(("whom", "since_ms"), [("task", 8), ("inode", 15)])
def test_an_operation_runs_when_it_has_the_lock(replay_events: Any, whom: str, since_ms: int) -> None:
    outcome = replay_events([*FIRST, SECOND, END], "busy-blocks", {"propagate": whom})
    assert (outcome.pages, outcome.stalls) == ({"space_held": 3}, [])
    assert outcome.costs["held_block_seconds"] == pytest.approx(3 * (1000 - since_ms) / 1000)


def test_what_is_pinned_while_an_operation_queues_is_in_its_way(replay_events: Any) -> None:
    # Page 7 is registered at 12 ms.
    events = [*FIRST, punch(8, 7, 1, tid=21, dur=20 * MS, file=DAX), mr_reg(12, 2, 7, 1, file=DAX), END]
    assert replay_events(events, "busy-blocks").pages == {}
    assert replay_events(events, "busy-blocks", INODE).pages == {"space_held": 1}


@pytest.mark.parametrize("whom", ["task", "inode"])
def test_who_queues_when_the_trace_ends_is_not_lost(replay_events: Any, whom: str) -> None:
    # The last event is at 9 ms, where the lock is not free yet. Both had it in the recording, one after the other.
    third = punch(9, 3, 1, tid=22, dur=30 * MS, file=DAX)
    outcome = replay_events([*FIRST, SECOND, third], "busy-blocks", {"propagate": whom})
    assert (outcome.pages, outcome.stalls) == ({"space_held": 4}, [])


def test_who_queues_behind_a_wait_when_the_trace_ends_is_stalled(replay_events: Any) -> None:
    # The operation in front waits for MR 1 from 5 ms on. The one behind it is late from 15 ms on.
    events = [FIRST[0], punch(5, 0, 1, dur=10 * MS, file=DAX), punch(8, 9, 1, tid=21, dur=20 * MS, file=DAX), END]
    outcome = replay_events(events, "hold-off", INODE)
    assert (outcome.pages, outcome.stalls) == ({"layout_break": 1}, [("punch", 995 * MS, True), ("punch", 985 * MS, True)])


def test_who_comes_to_wait_behind_the_end_makes_others_wait(replay_events: Any) -> None:
    # Under hold-off the second punch waits for MR 1 once it has the lock, and the third is behind it: neither for any time that
    # the trace shows.
    third = punch(9, 8, 1, tid=22, dur=30 * MS, file=DAX)
    outcome = replay_events([*FIRST, SECOND, third], "hold-off", INODE)
    assert (outcome.pages, outcome.stalls) == ({"layout_break": 3}, [("punch", 0, True), ("punch", 0, True)])
