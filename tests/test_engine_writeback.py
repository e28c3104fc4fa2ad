"""The engine's writeback decision, in scenarios whose outcome is derived by hand.

Times are milliseconds. Task 10 owns MRs on file 8:1:42 unless said otherwise; task 20 is an administrator, task 2 a kworker.
"""

from __future__ import annotations

from typing import Any

from builders.scenario import DAX, MS, at, dirty, fsync, mr_dereg, mr_reg, remote, writeback


def test_dirty_after_clean(replay_events: Any) -> None:
    # Pages 0, 1 are cleaned under the pin; 1 is dirtied again by the CPU; the release dirties 0, and 2, 3 were never cleaned.
    events = [mr_reg(0, 1, 0, 4), dirty(1, 0, 2), writeback(2, 0, 2), dirty(3, 1), mr_dereg(9, 1)]
    rows = [row for row in replay_events(events, "none").rows("conflicts") if row["class"] == "dirty_after_clean"]
    assert [(row["index"], row["npages"], row["ts"]) for row in rows] == [(0, 1, 9 * MS)]


def test_fsync_misses_what_the_device_wrote_after_the_clean(replay_events: Any) -> None:
    # Page 0: written by the device, cleaned, written again: clean and stale. Page 1: cleaned and not written since.
    events = [
        *(mr_reg(0, 1, 0, 2), dirty(1, 0, 2), remote(1, 1, 0), writeback(2, 0, 2)),
        *(remote(3, 1, 0), fsync(4, 1), mr_dereg(9, 1)),
    ]
    assert replay_events(events, "none").pages["fsync_misses_pinned"] == 1
    # An MR that may be written at any time: both pages.
    assert replay_events(events, "none", {"remote.activity": "always"}).pages["fsync_misses_pinned"] == 2
    # Under bounce a pinned page never counts as clean.
    assert "fsync_misses_pinned" not in replay_events(events, "bounce").pages


def test_hold_skips_background_and_blocks_integrity_writeback(replay_events: Any) -> None:
    # The kworker passes over both pages at 2 ms. At 3 ms a sync write of page 1 by task 20 waits for the release at 9 ms.
    events = [
        *(mr_reg(0, 1, 0, 2), dirty(1, 0, 2), writeback(2, 0, 2)),
        *(writeback(3, 1, 1, tid=20, sync=True), mr_dereg(9, 1), dirty(12, 50)),
    ]
    outcome = replay_events(events, "hold-off")
    assert outcome.pages == {}
    assert [(row["op"], row["ts"], row["dur"], row["role"], row["tid"], row["mr"]) for row in outcome.rows("stalls")] == [
        ("writeback", 3 * MS, 6 * MS, "app", 20, 0)
    ]


def test_fsync_under_hold_waits_for_what_hold_kept_dirty(replay_events: Any) -> None:
    # The recorded kernel had cleaned the page at 2 ms, so its fsync wrote nothing; under hold the page is still dirty.
    events = [mr_reg(0, 1, 0, 2), dirty(1, 0), writeback(2, 0), fsync(4, 1), mr_dereg(9, 1), dirty(12, 50)]
    assert replay_events(events, "hold-off").stalls == [("fsync", 5 * MS, False)]


def test_a_wait_moves_the_tasks_later_events_and_nobody_elses(replay_events: Any) -> None:
    # Task 20's fsync at 2 ms waits 8 ms for MR 1 (to 10 ms). Its punch, recorded at 4 ms, comes at 12 ms: MR 2 is gone
    # by then (11 ms). The kworker's truncate at 4.5 ms is not moved.
    events = [
        *(mr_reg(0, 1, 0, 2), mr_reg(0, 2, 10, 2), dirty(1, 0), fsync(2, 1), at(4, "punch", 20, index=10, npages=1, dur=0)),
        *(at(4.5, "punch", 30, index=11, npages=1, dur=0), mr_dereg(10, 1), mr_dereg(11, 2), dirty(20, 50)),
    ]
    rows = replay_events(events, "hold-off").rows("conflicts")
    assert [(row["class"], row["index"], row["victim_tid"]) for row in rows] == [("truncate_while_pinned", 11, 30)]


def test_bounce_writes_again_at_each_fsync(replay_events: Any) -> None:
    # Bounced at 2 ms (4096). Nothing dirties the page again, yet each fsync has to write what the policy keeps dirty.
    events = [mr_reg(0, 1, 0, 1), dirty(1, 0), writeback(2, 0), fsync(3, 0.1), fsync(5, 0.1), mr_dereg(9, 1)]
    outcome = replay_events(events, "bounce")
    assert (outcome.costs["bounce_bytes"], outcome.costs["rewrite_bytes"]) == (3 * 4096, 2 * 4096)
    # bounce-sync skipped the kworker's write: the first fsync is the first write, only the second one is a rewrite.
    outcome = replay_events(events, "bounce-sync")
    assert (outcome.costs["bounce_bytes"], outcome.costs["rewrite_bytes"]) == (2 * 4096, 4096)


def test_bounce_feeds_the_periodic_flusher(replay_events: Any) -> None:
    # Bounced at 2 ms, released at 100 s. The flusher wakes every 5 s from 0 and writes what is 30 s old: at 35 s (33 s
    # old; at 30 s it was younger), then every 30 s: 65 s, 95 s. Three rewrites.
    events = [mr_reg(0, 1, 0, 1), dirty(1, 0), writeback(2, 0), mr_dereg(100_000, 1)]
    outcome = replay_events(events, "bounce")
    assert (outcome.costs["bounce_bytes"], outcome.costs["rewrite_bytes"]) == (4 * 4096, 3 * 4096)
    # Every 20 s, what is 50 s old: at 60 s (from 2 ms), next at 120 s: one rewrite.
    outcome = replay_events(events, "bounce", {"writeback.interval": "20s", "writeback.expire": "50s"})
    assert outcome.costs["rewrite_bytes"] == 4096
    series = [(row["ts"], row["value"]) for row in outcome.rows("series") if row["metric"] == "rewrite_bytes" and row["value"]]
    assert len(series) == 1
    assert series[0][0] <= 60_000 * MS < series[0][0] + 100_000 * MS // 256 + 1


def test_torn_snapshot_only_where_the_device_may_write(replay_events: Any) -> None:
    # The device writes page 0 only; both are bounced.
    events = [mr_reg(0, 1, 0, 2), dirty(1, 0, 2), remote(1, 1, 0), writeback(2, 0, 2), mr_dereg(9, 1)]
    assert replay_events(events, "bounce").pages == {"torn_snapshot": 1}
    assert replay_events(events, "bounce", {"remote.activity": "always"}).pages == {"torn_snapshot": 2}


def test_the_copy_takes_time(replay_events: Any) -> None:
    # 3 pages at 1 ms + 0.5 ms each: the kworker is 2.5 ms late, so its write of page 9 at 4 ms comes after the release at 5 ms.
    events = [mr_reg(0, 1, 0, 3), mr_reg(0, 2, 9, 1), dirty(1, 0, 3), dirty(1, 9), writeback(2, 0, 3), writeback(4, 9), mr_dereg(5, 2)]
    assert replay_events(events, "bounce").costs["bounce_bytes"] == 4 * 4096
    assert replay_events(events, "bounce", {"bounce.copy": "1ms+0.5ms/page"}).costs["bounce_bytes"] == 3 * 4096


def test_release_costs_what_it_dirties_beyond_the_recording(replay_events: Any) -> None:
    # Under none the release dirties as recorded: the punch at 6 ms stays where it was and meets MR 2. Under hold-off
    # nothing was cleaned, so the release at 5 ms is 2 x 1 ms shorter than recorded: the punch comes at 4 ms, clamped to the
    # present (5 ms), still before MR 2 goes at 5.5 ms: the same pages, one by one.
    events = [
        *(mr_reg(0, 1, 0, 2), at(0, "mr_reg", 30, mr=2, device="mlx5_0", index=9, npages=1, write=True)),
        *(dirty(1, 0, 2), writeback(2, 0, 2), mr_dereg(5, 1), at(6, "punch", 10, index=9, npages=1, dur=0)),
        *(at(5.5 + 1, "mr_dereg", 30, mr=2), dirty(20, 50)),
    ]
    none = replay_events(events, "none", {"mr.dirty": "1ms/page"}).rows("conflicts")
    assert [(row["class"], row["ts"]) for row in none if row["class"] == "truncate_while_pinned"] == [("truncate_while_pinned", 6 * MS)]
    held = replay_events(events, "hold-off", {"mr.dirty": "1ms/page"}).rows("conflicts")
    assert [(row["class"], row["ts"]) for row in held] == [("truncate_while_pinned", 5 * MS)]


def test_dax_pages_are_never_written_back(replay_events: Any) -> None:
    events = [mr_reg(0, 1, 0, 2, file=DAX, dax=True), dirty(1, 0, 2, file=DAX), writeback(2, 0, 2, file=DAX), fsync(3, 1, file=DAX)]
    for policy in ("hold-off", "lease", "busy-blocks", "immutable"):
        assert replay_events(events, policy).pages == {}, policy
        assert replay_events(events, policy).stalls == [], policy


def test_a_pin_for_writing_dirties_pages_that_a_moved_writeback_had_cleaned(replay_events: Any) -> None:
    # Held off, the fsync of 2 ms waits until 10 ms (8 ms) and then cleans page 0. The kernel faults it in for writing, which
    # dirties it, when MR 2 pins it at 12 ms, so the fsync of 20 ms waits until 100 ms (80 ms). A hand-written trace, which
    # shows no page leaving the cache, means just what it says: nothing dirtied the page again.
    events = [
        *(mr_reg(0, 1, 0, 1), dirty(1, 0), fsync(2, 1), writeback(2, 0, tid=20, sync=True), mr_dereg(10, 1)),
        *(mr_reg(12, 2, 0, 1), fsync(20, 1, tid=30), mr_dereg(100, 2), dirty(200, 9)),
    ]
    leaves = at(0, "cache_del", index=50, npages=1)
    assert replay_events([leaves, *events], "hold-off").stalls == [("fsync", 8 * MS, False), ("fsync", 80 * MS, False)]
    assert replay_events(events, "hold-off").stalls == [("fsync", 8 * MS, False)]
