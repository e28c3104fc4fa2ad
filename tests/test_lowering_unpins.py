"""Pins of direct IO (Linux 6.3 and later), which are let go page by page in whatever task an interrupt hits."""

from __future__ import annotations

from typing import Any

import pytest
from builders.raw import BASE, DEV, INO, Record, added, deleted, lower, mmap, pinned, registered, released, rows, writeback

from replay.columns import load
from replay.outcomes import RunName
from replay.params import parse_params
from replay.policies import find_policy
from replay.runs import replay_tables

FILE = "254:16:13"
UNAME = "Linux x 6.12.43+deb12-amd64"
LONGTERM, WRITE = 0x100, 1
HARDIRQ, SOFTIRQ = 0x08, 0x10
MAPPING, ANON = 0xFFFF888012345600, 0xFFFF888012345601
MAPPED = [mmap(10, BASE, 4096), added(10, 0)]
COLUMNS = ("index", "npages", "ts_pin", "ts_unpin")


def let_go(index: int, *, tid: int = 7, mapping: int = MAPPING, flags: int = SOFTIRQ, ino: int = INO, dev: int = DEV) -> Record:
    """unpin_user_page, in an interrupt that hits any task."""
    return "unpin_user_page", tid, {"common_flags": flags, "mapping": mapping, "ino": ino, "dev": dev, "index": index}


def folio_let_go(index: int, npages: int, order: int) -> Record:
    where: dict[str, Any] = {"mapping": MAPPING, "ino": INO, "dev": DEV, "index": index, "head": int(order > 0), "order": order}
    return "unpin_user_folio", 7, {"common_flags": SOFTIRQ, "npages": npages, **where}


def read(page: int, npages: int, tid: int = 10, flags: int = WRITE) -> list[Record]:
    """Direct IO into pages of the mapping: its pin call."""
    return pinned(tid, BASE + page * 4096, npages, flags=flags)


def pins(*records: Record, uname: str | None = UNAME) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    canonical, counters = lower([*MAPPED, *records], uname=uname)
    return rows(canonical, "pins", *COLUMNS), counters


def met(*records: Record, uname: str | None = UNAME) -> list[int]:
    """Pages whose writeback policy `none` finds pinned."""
    canonical, _ = lower([*MAPPED, *records], uname=uname)
    recorded = load(canonical.tables)
    tables = replay_tables(recorded, find_policy("none"), parse_params({}), RunName("r", "none", "t"))
    found = [row for row in tables["conflicts"].to_pylist() if row["class"] == "wb_while_pinned"]
    return [page for row in found for page in range(row["index"], row["index"] + row["npages"])]


def test_a_pin_gets_shorter_with_each_page_that_is_let_go() -> None:
    canonical, counters = lower([*MAPPED, *read(4, 3), let_go(4), let_go(5), let_go(6)], uname=UNAME)
    assert rows(canonical, "events", "ts", "tid", "pin", "file", "index", "npages", "dirty", "longterm", op="unpin") == [
        (4000, 7, 0, FILE, 4, 1, False, False),
        (5000, 7, 0, FILE, 5, 1, False, False),
        (6000, 7, 0, FILE, 6, 1, False, False),
    ]
    assert rows(canonical, "pins", *COLUMNS) == [(4, 3, 3000, 6000)]
    assert counters == {}


def test_writeback_meets_the_pages_that_are_not_yet_let_go() -> None:
    under_way = [writeback("start", 11, page) for page in (0, 1)]
    assert met(*read(0, 2), *under_way, let_go(0), *under_way, let_go(1), *under_way) == [0, 1, 1]


def test_several_pins_of_a_page_end_one_by_one() -> None:
    assert pins(*read(0, 2), *read(0, 2, tid=11), let_go(0), let_go(1), let_go(0), let_go(1))[0][0] == (0, 2, 3000, 7000)
    two = [mmap(11, BASE, 16), *read(0, 4), *read(2, 4, tid=11)]
    found, counters = pins(*two, *(let_go(page) for page in (2, 3, 4, 5, 0, 1, 2, 3)))
    assert found == [(0, 4, 4000, 14000), (2, 4, 6000, 10000)]
    assert counters == {}


def test_pages_before_their_turn_count_with_the_last() -> None:
    canonical, counters = lower([*MAPPED, *read(0, 4), let_go(2), let_go(0), let_go(1), let_go(3)], uname=UNAME)
    assert rows(canonical, "events", "ts", "index", "npages", op="unpin") == [(5000, 0, 1), (6000, 1, 1), (7000, 2, 2)]
    assert rows(canonical, "pins", *COLUMNS) == [(0, 4, 3000, 7000)]
    assert counters == {}
    assert pins(*read(0, 2), let_go(1), let_go(1), let_go(0)) == ([(0, 2, 3000, 5000)], {"unpins_unmatched": 1})


def test_pages_of_a_folio_are_let_go_at_once_and_of_several_pins() -> None:
    """The probe tells the folio's first page, not that of the buffer."""
    canonical, counters = lower([*MAPPED, *read(18, 6), *read(24, 8), folio_let_go(16, 14, 4), folio_let_go(16, 0, 0)], uname=UNAME)
    assert rows(canonical, "events", "index", "npages", op="unpin") == [(18, 6), (24, 8)]
    assert counters == {"unpins_unmatched": 1}
    across = [*read(1020, 8), folio_let_go(1016, 4, 3), folio_let_go(1024, 4, 3)]
    assert pins(*across) == ([(1020, 8, 3000, 5000)], {})


@pytest.mark.parametrize("uname", [UNAME, None])
def test_short_pins_that_nothing_shows_to_be_let_go_are_not_held(uname: str | None) -> None:
    records = [*read(0, 8), *(writeback("start", 11, page) for page in range(8))]
    assert pins(*records, uname=uname) == ([(0, 8, 3000, 3000)], {"short_pins_unreleased": 8})
    assert met(*records, uname=uname) == []
    canonical, _ = lower([*MAPPED, *records], uname=uname)
    assert rows(canonical, "events", "pin", "npages", "result", op="pin") == [(None, 8, 8)]


def test_pages_whose_release_is_not_seen_go_with_the_last_one_that_is() -> None:
    """Page 1 was truncated: nothing tells whose it is."""
    records = [*read(0, 3), deleted(11, 1), let_go(0), let_go(0, mapping=0), let_go(2), *(writeback("start", 11, n) for n in (0, 2))]
    canonical, counters = lower([*MAPPED, *records], uname=UNAME)
    assert rows(canonical, "events", "ts", "index", "npages", op="unpin") == [(5000, 0, 3)]
    assert rows(canonical, "pins", *COLUMNS) == [(0, 3, 3000, 5000)]
    assert counters == {"short_pins_unreleased": 1}
    assert met(*records) == []


def test_up_to_linux_6_2_short_pins_last() -> None:
    records = [*read(0, 2), writeback("start", 11, 1)]
    assert pins(*records, uname="Linux x 6.1.0") == ([(0, 2, 3000, None)], {})
    assert met(*records, uname="Linux x 6.1.0") == [1]


def test_long_pins_and_regions_last_whatever_the_kernel() -> None:
    umem = 0xFF2F01DEC17A5980
    found, counters = pins(*read(0, 2, flags=WRITE | LONGTERM), *registered(10, BASE + 8 * 4096, 2, umem), released(10, umem))
    assert found == [(0, 2, 3000, None), (8, 2, 6000, 8000)]
    assert counters == {}


def test_anonymous_pages_are_let_go_by_the_task_that_unregisters_them() -> None:
    """A page that belongs to no file: what inode and index say of it was in the buffer before."""
    buffer = pinned(10, 0x5000_0000, 2, flags=WRITE | LONGTERM)
    read_into = pinned(10, 0x6000_0000, 1, flags=WRITE)
    in_interrupt, elsewhere = let_go(0, tid=10, mapping=ANON), let_go(0, tid=9, mapping=ANON, flags=0)
    own = let_go(0, tid=10, mapping=ANON, flags=0)
    memory = mmap(10, 0x5000_0000, 0x10001, flags=0x73, pgoff=0x50000, ino=0, dev=0)
    found, counters = pins(memory, *buffer, *read_into, *read(0, 1), in_interrupt, in_interrupt, elsewhere, elsewhere, own, own)
    assert found == [(None, 2, 4000, 14000), (None, 1, 6000, 6000), (0, 1, 8000, 8000)]
    assert counters == {"short_pins_unreleased": 1}


def test_other_files_with_the_inode_number_and_unknown_pages_change_nothing() -> None:
    found, counters = pins(*read(0, 1), let_go(0, dev=DEV + 1), let_go(0, ino=INO + 1), let_go(1))
    assert (found, counters) == ([(0, 1, 3000, 3000)], {"short_pins_unreleased": 1, "unpins_unmatched": 3})


def test_calls_that_let_go_of_all_pages_at_once_take_what_is_left() -> None:
    records = [*read(0, 4), let_go(0), ("unpin_user_pages", 10, {"pages": 1, "npages": 3}), let_go(1)]
    canonical, counters = lower([*MAPPED, *records], uname=UNAME)
    assert rows(canonical, "events", "ts", "index", "npages", op="unpin") == [(4000, 0, 1), (5000, 1, 3)]
    assert counters == {"unpins_unmatched": 1}
    many = [record for page in range(64) for record in (*read(page, 1), let_go(page))]
    assert pins(*read(100, 2), *many, ("unpin_user_pages", 10, {"pages": 1, "npages": 2}))[0][0] == (100, 2, 3000, 196000)


def test_of_pages_of_a_large_folio_but_the_first_that_one_knows_the_file() -> None:
    """Their mapping is other data, and the inode what was in the buffer before; compound_head tells them."""
    event, tid, told = let_go(8)
    first = 0xFFFFEA0000001200
    head = (event, tid, {**told, "page": first, "compound": first + 8, "head_ino": 7, "head_index": 7, "head_mapping": 7, "head_dev": 7})
    known = {"compound": first | 1, "head_ino": INO, "head_index": 8, "head_mapping": MAPPING, "head_dev": DEV}
    tails = [(event, tid, {**told, "mapping": 0xDEAD, "page": first + 64 * n, **known}) for n in (1, 2, 3)]
    canonical, counters = lower([*MAPPED, *read(8, 2), *read(10, 2), tails[1], tails[2], head, tails[0]], uname=UNAME)
    assert rows(canonical, "events", "ts", "index", "npages", op="unpin") == [(6000, 10, 1), (7000, 11, 1), (8000, 8, 1), (9000, 9, 1)]
    assert counters == {}
    untold = [(event, tid, {"common_flags": SOFTIRQ, "ino": INO, "dev": DEV, "index": 8, "compound": first | 1})]
    assert pins(*read(8, 1), *untold)[1] == {"short_pins_unreleased": 1}


def test_what_is_no_mapping_tells_no_file() -> None:
    assert pins(*read(0, 1), let_go(0, mapping=0xDEAD000000000400))[1] == {"short_pins_unreleased": 1}


def test_absurd_numbers_of_pages_take_no_time() -> None:
    """A folio of 2048 pages at most is let go at once."""
    many = [record for page in range(300) for record in read(page, 4096)]
    folio = folio_let_go(200, 1 << 60, 63)
    canonical, counters = lower([mmap(10, BASE, 1 << 20), added(10, 0), *many, *[folio] * 300], uname=UNAME)
    released = rows(canonical, "events", "pin", "npages", op="unpin")
    assert 0 < sum(count for _, count in released) <= 300 * 4096
    assert counters.keys() == {"short_pins_unreleased"}


def test_a_probe_that_tells_no_page_lets_go_of_no_file_s() -> None:
    assert pins(*read(0, 1), ("unpin_user_page", 10, {"page": 1}))[1] == {"short_pins_unreleased": 1}
