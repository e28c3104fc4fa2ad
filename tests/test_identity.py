"""Which file, and which page of it: addresses through mappings, inodes and backing devices through the whole trace."""

from __future__ import annotations

from builders.raw import BASE, DEV, Record, added, dirtied, lower, mmap, mmap2, on_file, pinned, registered, rows, writeback

SHARED, PRIVATE = 0xFB, 0x73
FILE, OTHER = "254:16:13", "254:16:14"


def pins(records: list[Record], **facts: object) -> list[tuple[object, ...]]:
    canonical, _ = lower([added(1, 0), added(1, 0, ino=14), *records], **facts)
    return rows(canonical, "pins", "file", "index", "npages", "id_source", "id_confidence")


def test_a_pin_over_several_mappings_is_one_row_per_file_range() -> None:
    found = pins(
        [
            mmap(10, BASE, 2),
            mmap(10, BASE + 2 * 4096, 2, pgoff=2),
            mmap(10, BASE + 4 * 4096, 2, ino=14),
            mmap(10, BASE + 6 * 4096, 1, flags=PRIVATE, pgoff=(BASE >> 12) + 6),
            *pinned(10, BASE + 4096, 7),
        ]
    )
    assert found == [
        (FILE, 1, 3, "mapping", 0.9),
        (OTHER, 0, 2, "mapping", 0.9),
        (None, None, 1, "mapping", 0.9),
        (None, None, 1, "unresolved", 0.0),
    ]


def test_a_later_mapping_replaces_what_it_covers() -> None:
    found = pins([mmap(10, BASE, 8), mmap(10, BASE + 2 * 4096, 2, ino=14, pgoff=40), *pinned(10, BASE, 8)])
    assert [row[:3] for row in found] == [(FILE, 0, 2), (OTHER, 40, 2), (FILE, 4, 4)]


def test_munmap_takes_away() -> None:
    gone = ("sys_enter_munmap", 10, {"addr": BASE + 4096, "len": 4096})
    found = pins([mmap(10, BASE, 3), gone, *pinned(10, BASE, 3)])
    assert [row[:4] for row in found] == [(FILE, 0, 1, "mapping"), (None, None, 1, "unresolved"), (FILE, 2, 1, "mapping")]


def test_private_file_memory_is_copied_when_pinned_for_writing_and_is_the_file_otherwise() -> None:
    private = mmap(10, BASE, 4, flags=PRIVATE)
    assert pins([private, *pinned(10, BASE, 1, flags=1)]) == [(None, None, 1, "mapping", 0.9)]
    assert pins([private, *pinned(10, BASE, 1, flags=0)]) == [(FILE, 0, 1, "mapping", 0.9)]


def test_shared_anonymous_memory_does_not_become_the_file_that_the_probe_misread() -> None:
    assert pins([mmap(10, BASE, 4, ino=7777, dev=3 << 20), *pinned(10, BASE, 1)]) == [(None, None, 1, "mapping", 0.9)]


def test_threads_and_forks() -> None:
    """Whether a child shares or copies, if the trace tells; else its group's mappings are used with less trust."""
    fork = ("sched_process_fork", 10, {"child_pid": 11})
    later = mmap(10, BASE, 4, ino=14)
    thread = ("task_newtask", 10, {"pid": 11, "clone_flags": 0x3D0F00})
    process = ("task_newtask", 10, {"pid": 11, "clone_flags": 0x1200000})
    start, pin = mmap(10, BASE, 4), pinned(11, BASE, 1)
    assert pins([start, fork, *pin]) == [(FILE, 0, 1, "inherited", 0.6)]
    assert pins([start, fork, later, *pin]) == [(OTHER, 0, 1, "inherited", 0.6)]
    assert pins([start, thread, fork, later, *pin]) == [(OTHER, 0, 1, "mapping", 0.9)]
    assert pins([start, process, fork, later, *pin]) == [(FILE, 0, 1, "mapping", 0.9)]
    assert pins([start, later, *pin], tgids={10: 10, 11: 10}) == [(OTHER, 0, 1, "mapping", 0.9)]


def test_exec_drops_what_was_inherited_and_keeps_the_new_image() -> None:
    """The mappings of the new program are recorded before sched_process_exec."""
    fork, run = ("sched_process_fork", 10, {"child_pid": 11}), ("sched_process_exec", 11, {"pid": 11})
    image = mmap(11, BASE + 64 * 4096, 4, ino=14, flags=SHARED)
    records = [mmap(10, BASE, 4), fork, image, run]
    assert pins([*records, *pinned(11, BASE + 64 * 4096, 1)]) == [(OTHER, 0, 1, "mapping", 0.9)]
    assert pins([*records, *pinned(11, BASE, 1)]) == [(None, None, 1, "anonymous", 0.6)]
    assert pins([*records, *pinned(10, BASE, 1)]) == [(FILE, 0, 1, "mapping", 0.9)]


def test_share_of_unresolved_pin_calls_can_be_told() -> None:
    canonical, _ = lower(
        [mmap(10, BASE, 1), added(10, 0), *pinned(10, BASE, 1), *pinned(10, BASE + 4096, 1), *registered(11, BASE, 1, 0xFF01)]
    )
    losses = {row["counter"]: (row["count"], row["total"]) for row in canonical.tables["losses"].to_pylist()}
    assert losses["pins_unresolved"] == (2, 3)


def files_of(records: list[Record], op: str) -> list[tuple[object, ...]]:
    return rows(lower(records)[0], "events", "file", "id_source", "id_confidence", op=op)


def test_backing_device_is_the_file_system_s_device_where_it_has_its_number() -> None:
    assert files_of([added(1, 0), dirtied(1, 0)], "dirty") == [(FILE, "cooccurrence", 0.95)]
    assert files_of([added(1, 0), dirtied(1, 0, ino=99)], "dirty") == [("254:16:99", "cooccurrence", 0.7)]


def test_backing_device_of_a_partition_is_known_by_the_only_file_with_that_inode() -> None:
    partition = DEV + 1
    assert files_of([added(1, 0, dev=partition), dirtied(1, 0)], "dirty") == [("254:17:13", "cooccurrence", 0.8)]
    both = [added(1, 0, dev=partition), added(1, 0, dev=partition + 1), dirtied(1, 0)]
    assert files_of(both, "dirty") == [("bdi:254:16:13", "cooccurrence", 0.5)]


def test_inode_alone_is_the_only_file_that_has_it_wherever_in_the_trace() -> None:
    assert files_of([writeback("start", 1, 0), added(1, 0)], "wb_start") == [(FILE, "cooccurrence", 0.8)]
    canonical, counters = lower([writeback("start", 1, 0, ino=77), added(1, 0)])
    assert rows(canonical, "events", "file", "id_source", op="wb_start") == [(None, "unresolved")]
    assert counters == {"events_without_file": 1}


def test_inode_of_two_files_is_the_one_whose_page_entered_the_cache_last() -> None:
    other = DEV + 1
    records = [
        added(1, 0),
        added(1, 5, dev=other),
        writeback("start", 1, 0, folio=0),
        writeback("start", 1, 5, folio=0),
        writeback("start", 1, 9, folio=0),
        added(1, 0, dev=other),
        writeback("start", 1, 0, folio=0),
    ]
    assert files_of(records, "wb_start") == [
        (FILE, "cooccurrence", 0.6),
        ("254:17:13", "cooccurrence", 0.6),
        (None, "unresolved", 0.0),
        ("254:17:13", "cooccurrence", 0.6),
    ]


def test_writeback_inside_of_its_file_system_s_operation_needs_no_guess() -> None:
    records = [
        added(1, 0),
        added(1, 0, dev=DEV + 1),
        on_file("ext4_writepages", 1, dev=DEV, sync_mode=0),
        writeback("start", 1, 0),
        on_file("ext4_writepages_result", 1, dev=DEV),
        writeback("end", 0, 0),
    ]
    assert files_of(records, "wb_start") == [(FILE, "cooccurrence", 0.95)]
    assert files_of(records, "wb_end") == [(FILE, "cooccurrence", 0.95)]


def test_tasks_and_process_ids() -> None:
    canonical, _ = lower(
        [
            ("sched_process_exec", 10, {"pid": 10}),
            ("task_newtask", 10, {"pid": 11, "clone_flags": 0x10100}),
            added(11, 0),
            added(25, 1),
            added(0, 2),
        ],
        cmdlines={10: "app", 11: "app", 25: "kworker/u4:1"},
    )
    assert rows(canonical, "tasks", "tid", "tgid", "comm", "kthread", "events") == [
        (0, None, "<idle>", True, 1),
        (10, 10, "app", False, 1),
        (11, 10, "app", False, 1),
        (25, None, "kworker/u4:1", True, 1),
    ]


AGAIN = f"{FILE}#2"


def test_a_generation_tells_the_next_file_of_an_inode_number_from_the_one_before() -> None:
    """Events that tell no generation belong to the file that the latest new mapping told."""
    records = [
        *(mmap2(10, BASE, 4, 0), added(10, 0), dirtied(10, 0), mmap2(10, BASE, 4, 7), *pinned(10, BASE, 1), writeback("start", 11, 0)),
        *(mmap2(10, BASE + (1 << 20), 4, 7), dirtied(10, 1)),
        *(mmap2(12, BASE, 4, 8), *pinned(12, BASE, 1), added(12, 0), dirtied(12, 0), on_file("ext4_sync_file_enter", 12)),
        *(mmap2(13, BASE, 4, 7), *pinned(13, BASE, 1), mmap2(14, BASE, 4, 0), *pinned(14, BASE, 1), dirtied(12, 1)),
    ]
    canonical, _ = lower(records)
    assert rows(canonical, "files", "file", "dev", "ino", "generation") == [(FILE, "254:16", 13, 7), (AGAIN, "254:16", 13, 8)]
    assert [file for (file,) in rows(canonical, "pins", "file")] == [FILE, AGAIN, FILE, AGAIN]
    assert [file for (file,) in rows(canonical, "events", "file", op="dirty")] == [FILE, FILE, AGAIN, AGAIN]
    assert [file for (file,) in rows(canonical, "events", "file", op="cache_add")] == [FILE, AGAIN]
    assert [file for (file,) in rows(canonical, "events", "file", op="wb_start")] == [FILE]
    assert [file for (file,) in rows(canonical, "events", "file", op="fsync")] == [AGAIN]
    assert rows(canonical, "slots", "file_id", "index", "npages", "slot") == [(0, 0, 2, 0), (1, 0, 2, 2)]
    assert rows(canonical, "events", "slot", "nslots", op="dirty") == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_a_third_generation_is_a_third_file() -> None:
    canonical, _ = lower([mmap2(10, BASE, 4, 7), mmap2(10, BASE, 4, 9), mmap2(10, BASE, 4, 8), dirtied(10, 1), *pinned(10, BASE, 1)])
    assert rows(canonical, "files", "file", "generation") == [(FILE, 7), (AGAIN, 9), (f"{FILE}#3", 8)]
    assert rows(canonical, "pins", "file") == [(f"{FILE}#3",)]
    assert rows(canonical, "events", "file", op="dirty") == [(f"{FILE}#3",)]
