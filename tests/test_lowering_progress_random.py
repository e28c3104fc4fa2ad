"""Pins and releases in any order of events: rows of pins and unpins always fit together."""

from __future__ import annotations

from collections import Counter

from builders.raw import BASE, Record, added, deleted, dirtied, lower, mmap, pinned, registered, released, rows, throttled, writeback
from hypothesis import given, settings
from hypothesis import strategies as st

UMEM = 0xFF2F01DEC17A5980
PAGES = 12

pages = st.integers(0, PAGES - 1)
tasks = st.sampled_from([10, 20])


@st.composite
def one_record(draw: st.DrawFn) -> Record:
    tid, page, npages = draw(tasks), draw(pages), draw(st.integers(0, PAGES))
    call, done = pinned(tid, BASE + 4096 * page, npages, ret=draw(st.sampled_from([npages, npages // 2, PAGES, -14])))
    begin, *_, end = registered(tid, BASE + 4096 * page, npages, UMEM + 64 * draw(st.integers(0, 2)))
    unpin: Record = ("unpin_user_page_range_dirty_lock", tid, {"page": 1, "npages": npages, "make_dirty": 1})
    failed: Record = ("ib_umem_get_ret", tid, {"umem": (1 << 64) - 12})
    release = released(tid, UMEM + 64 * draw(st.integers(0, 2)))
    choices = [call, done, begin, end, failed, release, unpin, dirtied(tid, page), writeback("start", tid, page), throttled(tid)]
    choices += [dirtied(tid, page), unpin, added(tid, page), writeback("start", 30, page), deleted(30, page), release]
    return draw(st.sampled_from(choices))


@settings(max_examples=300, deadline=None)
@given(st.lists(one_record(), max_size=60), st.integers(0, 60))
def test_unpins_are_parts_of_their_pins_and_never_twice(records: list[Record], cut: int) -> None:
    start = [mmap(10, BASE, PAGES), mmap(20, BASE, PAGES), added(10, 0)]
    canonical, _ = lower([*start, *records], cuts=[cut] if 0 < cut < len(records) + len(start) else [])
    events = rows(canonical, "events", "op", "pin", "mr", "index", "npages", "ts")
    ends = dict(rows(canonical, "pins", "pin", "ts_unpin"))
    ranges: dict[int, set[int]] = {}
    let_go: Counter[tuple[int, int]] = Counter()
    for op, pin, _, index, npages, ts in events:
        if op == "pin" and pin is not None:
            assert pin not in ranges
            ranges[pin] = set(range(index, index + npages)) if index is not None else set()  # of no file
        elif op == "unpin" and pin is not None and index is not None:
            assert npages > 0
            assert set(range(index, index + npages)) <= ranges[pin]
            assert ends[pin] is None or ts <= ends[pin]
            let_go.update((pin, page) for page in range(index, index + npages))
    assert set(let_go.values()) <= {1}
    gone = Counter(pin for pin, _ in let_go)
    assert all(gone[pin] == len(held) for pin, held in ranges.items() if ends[pin] is not None)
    assert sorted(ranges) == sorted(ends)
