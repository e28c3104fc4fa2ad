"""Small trace.dat files that hold a little of everything that lowering knows, and excerpts of recordings."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from builders import raw
from builders import tracedat as make
from builders.events import START

_UMEM = 0xFF20_0000
FIRST_ID = 300


def encoded(records: Sequence[raw.Record]) -> tuple[dict[tuple[str, str], str], list[bytes]]:
    """Formats by system and event, numbered from FIRST_ID on, and what follows the common fields: each field a u64 or char[16]."""
    formats: dict[tuple[str, str], str] = {}
    bodies = []
    for event, _, fields in records:
        places = zip(fields.items(), range(8, 8 + 16 * len(fields), 16), strict=True)
        declared = [
            (f"char {name}[16]", at, 16, 1) if isinstance(value, str) else (f"u64 {name}", at, 8, 0) for (name, value), at in places
        ]
        key = raw.system(event), event
        formats.setdefault(key, make.format_text(event, FIRST_ID + len(formats), declared))
        bodies.append(
            b"".join(
                struct.pack("<16s", value.encode()) if isinstance(value, str) else struct.pack("<QQ", value & (1 << 64) - 1, 0)
                for value in fields.values()
            )
        )
    return formats, bodies


def recorded(records: Sequence[raw.Record], page_bytes: int = 1024) -> make.Trace:
    """The records on one CPU, a microsecond apart."""
    formats, bodies = encoded(records)
    ids = {key: FIRST_ID + place for place, key in enumerate(formats)}
    pages, entries = b"", b""
    for (event, tid, _), body in zip(records, bodies, strict=True):
        entry = make.data(1000, make.payload(ids[raw.system(event), event], tid, body))
        if len(entries) + len(entry) > page_bytes - 16:
            pages += make.page(START, entries, page_bytes=page_bytes)
            entries = b""
        entries += entry
    pages += make.page(START, entries, page_bytes=page_bytes)
    texts = [(system, text) for (system, _), text in formats.items()]
    return make.Trace(texts, [make.Instance("", (pages,))], page_bytes=page_bytes)


def _workloads() -> Iterator[tuple[str, list[raw.Record]]]:
    start = [raw.mmap(10, raw.BASE, 16), raw.added(10, 4), raw.dirtied(10, 5)]
    region = raw.registered(10, raw.BASE + 4096, 3, _UMEM)
    wait: raw.Record = ("folio_wait_writeback", 10, {"name": "254:16", "ino": raw.INO, "index": 3})
    written = [raw.writeback("start", 11, 3), wait, raw.writeback("end", 0, 3), raw.dirtied(10, 3)]
    yield "region", [*start, *region, raw.remote(raw.BASE + 4100, 64), *written, raw.released(10, _UMEM), *written]
    pins = [*raw.pinned(10, raw.BASE, 4), ("unpin_user_pages", 10, {"npages": 4, "make_dirty": 1})]
    odp: list[raw.Record] = [
        ("ib_umem_odp_get", 10, {"dev": 7, "addr": raw.BASE, "size": 8192, "access": 3}),
        ("ib_umem_odp_get_ret", 10, {"umem": _UMEM + 8}),
    ]
    yield "pins", [*start, *pins, *raw.registered(10, raw.BASE, 2, _UMEM, pins=False), *odp, raw.released(10, _UMEM)]
    syncs = [raw.on_file("ext4_sync_file_enter", 10), raw.on_file("ext4_writepages", 10, sync_mode=1), *written]
    syncs += [
        ("wbc_writepage", 10, {"sync_mode": 1}),
        raw.on_file("ext4_writepages_result", 10),
        raw.on_file("ext4_sync_file_exit", 10, ret=0),
    ]
    yield "syncs", [*start, *region, *syncs]
    layout: list[raw.Record] = [
        ("sys_enter_ftruncate", 10, {"fd": 3, "length": 8192}),
        raw.on_file("break_lease_block", 10, fl_owner=5),
        raw.on_file("break_lease_unblock", 10, fl_owner=5),
        *(raw.deleted(10, index) for index in (4, 5)),
        raw.on_file("ext4_truncate_enter", 10),
        raw.on_file("ext4_truncate_exit", 10),
        ("sys_exit_ftruncate", 10, {"ret": 0}),
        raw.on_file("ext4_fallocate_enter", 10, offset=4096, len=8192, mode=3),
        raw.on_file("ext4_punch_hole", 10, offset=4096, len=8192),
        ("dax_layout_busy_page_range", 10, {"ino": raw.INO, "start": 4096, "end": 12287}),
        ("dax_layout_busy_page_range_ret", 10, {"page": 0xFF98}),
        ("dax_layout_busy_page_range", 10, {"ino": raw.INO, "start": 4096, "end": 12287}),
        ("dax_layout_busy_page_range_ret", 10, {"page": 0}),
        raw.on_file("ext4_fallocate_exit", 10, ret=0),
        raw.on_file("ext4_collapse_range", 10, offset=4096, len=4096),
    ]
    yield "layout", [*start, *region, *layout]
    files = [
        raw.on_file("dax_pte_fault", 10),
        raw.on_file("generic_add_lease", 10, fl_owner=5, fl_type=1),
        raw.on_file("generic_delete_lease", 10, fl_owner=5, fl_type=2),
        raw.on_file("ext4_allocate_blocks", 10, block=100, len=4),
        raw.on_file("ext4_free_blocks", 10, block=100, count=4),
        raw.on_file("iomap_writeback_folio", 10, offset=8192, length=4096),
        raw.on_file("xfs_file_fsync", 10),
        raw.on_file("ext4_release_folio", 9, index=4),
    ]
    tasks: list[raw.Record] = [
        ("task_newtask", 10, {"pid": 12, "clone_flags": 0x100}),
        ("sched_process_fork", 10, {"child_pid": 12}),
        raw.mmap(12, raw.BASE + (1 << 20), 4),
        ("sys_enter_munmap", 12, {"addr": raw.BASE, "len": 4096}),
        ("mm_migrate_pages", 12, {"succeeded": 1, "failed": 1}),
        ("sched_process_exec", 12, {"pid": 12}),
        ("sched_process_exit", 10, {"pid": 10}),
    ]
    yield "files", [*start, *files, *tasks, *raw.pinned(12, raw.BASE, 2)]


RECORDS = dict(_workloads())
"""Records of workloads by name; between them they reach every step of lowering."""


def excerpt(path: Path, pages: int = 1) -> make.Trace:
    """The first pages of each CPU of a recording, with the formats of what they hold."""
    from replay.ingest.mappings import find
    from replay.ingest.tracecmd import open_tracecmd

    reader = open_tracecmd(path)
    container = reader.container
    size = container.page_bytes
    cpus = [b"".join(bytes(segment.pages[: pages * size]) for segment in list(source.segments())[:1]) for source in reader.sources()]
    formats = [
        (form.system, make.format_text(form.name, form.id, [(f"{f.type} {f.name}", f.offset, f.bytes, f.signed) for f in form.fields[4:]]))
        for form in container.formats
        if find(form.system, form.name, frozenset(field.name for field in form.fields)) and form.system != "syscalls"
    ]
    return make.Trace(formats, [make.Instance("", cpus[:2])], page_bytes=size, long_bytes=container.long_bytes)
