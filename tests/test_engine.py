"""The engine: pages, pins, admission, reclaim and the device, in scenarios whose outcome is derived by hand.

Times are milliseconds. Task 10 owns MRs on file 8:1:42 unless said otherwise; task 20 is an administrator, task 2 a kworker.
"""

from __future__ import annotations

from typing import Any

import pytest
from builders.scenario import DAX, FILE, MS, at, dirty, fsync, mr_dereg, mr_reg, remote, writeback

# -- pages and pins ---------------------------------------------------------------------------------------------------


def test_no_pins_no_rows(replay_events: Any) -> None:
    events = [
        dirty(0, 0, 7),
        writeback(1, 0, 7),
        fsync(2, 1),
        at(4, "truncate", 20, index=3, dur=0),
        at(5, "reclaim", 2, index=0, npages=3),
    ]
    for policy in ("none", "hold-off", "bounce", "bounce-sync", "lease", "busy-blocks", "odp", "immutable"):
        outcome = replay_events(events, policy)
        assert (outcome.rows("conflicts"), outcome.rows("stalls"), outcome.costs) == ([], [], {}), policy


def test_a_conflict_names_file_range_pin_and_both_tasks(replay_events: Any) -> None:
    outcome = replay_events([mr_reg(0, 5, 100, 4), dirty(1, 101, 2), writeback(2, 101, 2), mr_dereg(9, 5)], "none")
    row = next(row for row in outcome.rows("conflicts") if row["class"] == "wb_while_pinned")
    assert row == {
        "run": "r",
        "policy": "none",
        "trace": "t",
        "ts": 2 * MS,
        "class": "wb_while_pinned",
        "risk": "corruption",
        "op": "writeback",
        "file": FILE,
        "index": 101,
        "npages": 2,
        "bytes": 8192,
        "pin": 0,
        "mr": 0,
        "culprit_tid": 10,
        "victim_tid": 2,
    }


def test_rows_split_where_pages_are_not_adjacent_and_where_the_holder_changes(replay_events: Any) -> None:
    # MR 1 holds 0..3, MR 2 holds 2..5; 3 is held by both, the later one answers. Page 9 lies apart; 7 is pinned by nobody.
    events = [mr_reg(0, 1, 0, 4), mr_reg(1, 2, 2, 4), mr_reg(1, 3, 9, 1), dirty(2, 0, 6), dirty(2, 7), dirty(2, 9), writeback(3, 0, 10)]
    rows = [row for row in replay_events(events, "none").rows("conflicts") if row["class"] == "wb_while_pinned"]
    assert [(row["index"], row["npages"], row["mr"]) for row in rows] == [(0, 2, 0), (2, 4, 1), (9, 1, 2)]


def test_the_writable_pin_answers_for_writeback(replay_events: Any) -> None:
    # The later MR only reads: it cannot change the page under writeback.
    events = [mr_reg(0, 1, 0, 2), mr_reg(1, 2, 0, 2, write=False), dirty(2, 0, 2), writeback(3, 0, 2), mr_dereg(9, 1), mr_dereg(9, 2)]
    rows = [row for row in replay_events(events, "none").rows("conflicts") if row["class"] == "wb_while_pinned"]
    assert [(row["mr"], row["npages"]) for row in rows] == [(0, 2)]


def test_a_read_only_mr_is_no_conflict_for_writeback(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 3, write=False), dirty(1, 0, 3), writeback(2, 0, 3), fsync(3, 0), mr_dereg(9, 1)]
    assert replay_events(events, "none").pages == {}
    # But it holds the pages: 3 pages for 9 ms.
    assert replay_events(events, "none").costs == {"unreclaimable_page_seconds": 0.027, "pinned_page_seconds": 0.027}


def test_a_page_held_twice_is_unreclaimable_once(replay_events: Any) -> None:
    # Pages 0..3 from 0 to 10 ms, 4..5 from 5 to 20 ms (MR 2 holds 2..5), 2..3 until 20 ms:
    # 4 x 10 ms + 2 x 15 ms + 2 x 10 ms = 90 page ms.
    events = [mr_reg(0, 1, 0, 4), mr_reg(5, 2, 2, 4), mr_dereg(10, 1), mr_dereg(20, 2), dirty(30, 9)]
    # Pinned they are twice: 2 x 5 ms more.
    costs = replay_events(events, "none").costs
    assert (costs["unreclaimable_page_seconds"], costs["pinned_page_seconds"]) == (0.09, 0.1)


def test_pages_of_memory_that_is_no_file_are_pinned_too(replay_events: Any) -> None:
    # 4 pages of a file until 10 ms, 3 of other memory from 2 ms to the end of the trace.
    events = [mr_reg(0, 1, 0, 4), at(2, "pin", pin=2, npages=3, longterm=True, write=True), mr_dereg(10, 1), dirty(20, 9)]
    del events[1]["file"]
    outcome = replay_events(events, "none")
    assert outcome.costs == {"unreclaimable_page_seconds": 0.04, "pinned_page_seconds": 0.04 + 3 * 0.018}


def test_dax_pages_are_in_no_page_cache(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 4, dax=True, file=DAX), mr_dereg(10, 1, file=DAX)]
    assert replay_events(events, "hold-off").costs == {"pinned_page_seconds": 0.04}


def test_cache_del_ends_instances_where_the_trace_shows_it(replay_events: Any) -> None:
    # The punch row itself drops nothing here: page 1 is deleted, page 0 is not. Page 1 comes back unpinned.
    events = [
        *(mr_reg(0, 1, 0, 2), at(1, "punch", 20, index=0, npages=2, dur=MS)),
        *(at(1.5, "cache_del", 20, index=1, npages=1), at(3, "cache_add", 20, index=1, npages=1)),
        *(dirty(4, 0, 2), writeback(5, 0, 2), mr_dereg(9, 1)),
    ]
    outcome = replay_events(events, "none")
    assert outcome.pages["truncate_while_pinned"] == 1
    assert outcome.pages["wb_while_pinned"] == 1
    row = next(row for row in outcome.rows("conflicts") if row["class"] == "truncate_while_pinned")
    assert (row["op"], row["index"], row["victim_tid"]) == ("punch", 1, 20)


def test_a_deletion_outside_any_operation_is_an_eviction(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 2), at(1, "truncate", 20, index=9, dur=MS), at(3, "cache_del", 20, index=0, npages=2), mr_dereg(9, 1)]
    rows = replay_events(events, "none").rows("conflicts")
    assert [(row["class"], row["op"], row["npages"]) for row in rows] == [("truncate_while_pinned", "evict", 2)]


def test_unpin_leaves_a_new_instance_alone(replay_events: Any) -> None:
    # MR 1's pages are punched, MR 2 pins their successors; the release of MR 1 must not release those.
    events = [
        *(mr_reg(0, 1, 0, 3), at(1, "punch", 20, index=0, npages=3, dur=0), mr_reg(2, 2, 0, 3), mr_dereg(3, 1)),
        *(dirty(4, 0, 3), writeback(5, 0, 3), mr_dereg(9, 2)),
    ]
    assert replay_events(events, "none").pages["wb_while_pinned"] == 3


def test_explicit_pins(replay_events: Any) -> None:
    # A short-term pin for writing, as of direct IO into a mapping: refused by nobody, but writeback meets it.
    events = [
        *(at(0, "pin", pin=1, index=0, npages=2, write=True, longterm=False), dirty(0, 0, 2), writeback(1, 0, 2)),
        *(at(2, "unpin", pin=1, index=0, npages=2, dirty=True), writeback(3, 0, 2)),
    ]
    for policy in ("none", "mainline", "odp", "lease"):
        pages = replay_events(events, policy).pages
        assert pages == {"wb_while_pinned": 2, "dirty_after_clean": 2}, policy


def test_integrals_of_big_hosts_are_exact(replay_events: Any) -> None:
    # 4096 pages for 20000 days: each of 256 intervals has 2.8e19 page nanoseconds, more than 64 bits hold.
    days = 86_400_000
    outcome = replay_events([mr_reg(0, 5, 0, 4096), mr_dereg(20_000 * days, 5)], "none")
    assert outcome.costs["pinned_page_seconds"] == 4096 * 20_000 * 86_400


# -- admit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "file", "write", "reason"),
    [
        ("none", DAX, True, ("refuse_dax", -95)),
        ("none", FILE, True, None),
        ("hold-off", DAX, True, None),
        ("mainline", FILE, True, ("refuse_shared_file", -14)),
        ("mainline", FILE, False, None),
        ("mainline", DAX, True, ("refuse_dax", -95)),
        ("deny", DAX, False, ("refuse_dax", -95)),
        ("lease", DAX, True, None),
        ("immutable", DAX, True, None),
    ],
)
def test_admission(replay_events: Any, policy: str, file: str, write: bool, reason: tuple[str, int] | None) -> None:
    events = [mr_reg(0, 1, 3, 5, write=write, file=file, dax=file == DAX), mr_dereg(9, 1, file=file)]
    outcome = replay_events(events, policy)
    assert [(row["reason"], row["errno"]) for row in outcome.rows("refusals")] == ([reason] if reason else [])
    assert outcome.pages.get("pin_refused", 0) == (5 if reason else 0)
    assert outcome.costs.get("refused_pages", 0) == (5 if reason else 0)


def test_work_behind_a_refused_mr_is_lost_not_avoided(replay_events: Any) -> None:
    # 3 accesses of 4096, 8192 and 4096 bytes; the pages are dirtied by somebody else and written back without a pin.
    events = [
        *(mr_reg(0, 1, 0, 4), remote(1, 1, 0), remote(2, 1, 2, 2), remote(3, 1, 0, op="remote_read")),
        *(dirty(4, 0, 2), writeback(5, 0, 2), mr_dereg(9, 1)),
    ]
    outcome = replay_events(events, "mainline")
    assert outcome.pages == {"pin_refused": 4}
    assert outcome.costs == {"refused_pages": 4, "lost_remote_ops": 3, "lost_remote_bytes": 16384}


def test_a_hole_is_refused_where_blocks_must_be_allocated(replay_events: Any) -> None:
    punched = [at(0, "punch", 20, index=2, npages=3, dur=0), mr_reg(1, 1, 0, 4), mr_dereg(2, 1)]
    assert replay_events(punched, "immutable").rows("refusals")[0]["reason"] == "need_allocated"
    filled = [punched[0], dirty(0.5, 2, 3), *punched[1:]]
    assert replay_events(filled, "immutable").rows("refusals") == []


# -- reclaim ----------------------------------------------------------------------------------------------------------


def test_reclaim_and_migration(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 3), at(1, "reclaim", 2, index=1, npages=4), at(2, "migrate", 2, index=0, npages=2), mr_dereg(9, 1)]
    assert replay_events(events, "none").pages == {"priv_released_pinned": 2, "migrate_refused": 2}
    assert replay_events(events, "lease").pages == {"unmap_refused": 2, "migrate_refused": 2}
    assert replay_events(events, "odp").pages == {}


# -- the device -------------------------------------------------------------------------------------------------------


def test_writes_to_orphans_are_counted(replay_events: Any) -> None:
    # The punch orphans pages 2, 3; an access to 1..2 then hits one page of the file and one orphan.
    events = [mr_reg(0, 1, 0, 4), at(1, "punch", 20, index=2, npages=2, dur=0), remote(2, 1, 1, 2), remote(3, 1, 3), mr_dereg(9, 1)]
    assert replay_events(events, "none").costs["orphaned_write_bytes"] == 2 * 4096


def test_on_demand_paging(replay_events: Any) -> None:
    # Faults: 0..1 (one run), 3 alone; writeback takes 0..1 (one run); the next access to 1 faults again: 3 faults.
    # Each costs 10 us + 1 us a page: the remote side waits 12, 11 and 11 us.
    events = [
        *(mr_reg(0, 1, 0, 4), remote(1, 1, 0, 2), remote(2, 1, 0, 1), remote(3, 1, 3)),
        *(writeback(4, 0, 2), remote(5, 1, 1), mr_dereg(9, 1)),
    ]
    outcome = replay_events(events, "odp", {"odp.fault": "10us+1us/page"})
    assert outcome.pages == {}
    assert outcome.costs == {"odp_faults": 3, "odp_invalidations": 1}
    assert [(row["op"], row["role"], row["dur"]) for row in outcome.rows("stalls")] == [
        ("remote_write", "remote", 12_000),
        ("remote_write", "remote", 11_000),
        ("remote_write", "remote", 11_000),
    ]


def test_on_demand_paging_of_an_always_active_device(replay_events: Any) -> None:
    # One fault at registration, one after the invalidation by writeback; the truncate takes pages 2, 3 for good.
    events = [mr_reg(0, 1, 0, 4), writeback(4, 0, 2), at(5, "truncate", 20, index=2, dur=0), mr_dereg(9, 1)]
    outcome = replay_events(events, "odp", {"remote.activity": "always"})
    assert outcome.pages == {}
    assert outcome.costs == {"odp_faults": 2, "odp_invalidations": 2}


def test_a_registration_that_the_kernel_refused_is_refused_by_the_policies_that_say_so(replay_events: Any) -> None:
    # EOPNOTSUPP for 4 pages of a DAX file. It pinned nothing, so nothing else can come of it under any policy.
    events = [
        at(0, "mr_reg", mr=1, device="rxe0", index=0, npages=4, write=True, dax=True, file=DAX, result=-95),
        at(9, "dirty", index=0, npages=1),
    ]
    for policy, refused in {"none": 4, "mainline": 4, "deny": 4, "hold-off": 0, "lease": 0}.items():
        outcome = replay_events(events, policy)
        assert outcome.pages == ({"pin_refused": refused} if refused else {})
        assert outcome.costs.get("refused_pages", 0) == refused
        assert [(row["reason"], row["errno"], row["npages"]) for row in outcome.rows("refusals")] == [("refuse_dax", -95, 4)] * (
            refused > 0
        )
