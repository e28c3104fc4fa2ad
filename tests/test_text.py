"""Traces as text, written out line by line as the tools print them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders.shown import shown

from replay.errors import TraceError
from replay.ingest.lowering import Lowering
from replay.ingest.sniff import sniff
from replay.ingest.text import TextReader, open_text

Rows = list[dict[str, Any]]
NS = 1_000_000_000

HEAD = """# tracer: nop
#
# entries-in-buffer/entries-written: 5/12   #P:4
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
DIRTY = "writeback_dirty_folio: bdi 254:16: ino=13 index=7"


def opened(folder: Path, text: str | bytes) -> TextReader:
    path = folder / "trace.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert sniff(str(path)) == "text"
    return open_text(path)


def tables(reader: TextReader) -> dict[tuple[str, str], Rows]:
    found: dict[tuple[str, str], Rows] = {}
    for batch in reader.batches():
        for name, table in batch.tables.items():
            table.validate(full=True)
            found.setdefault(name, []).extend(table.to_pylist())
    return found


def read(folder: Path, text: str | bytes) -> dict[tuple[str, str], Rows]:
    return tables(opened(folder, text))


def only(found: dict[tuple[str, str], Rows]) -> dict[str, Any]:
    ((row,),) = found.values()
    return row


def losses(reader: TextReader) -> dict[tuple[str, int | None], int]:
    return {name: count for name, count in reader.losses.counts.items() if count}


@pytest.mark.parametrize(
    ("line", "ts", "cpu", "tid", "tgid"),
    [
        (f"         pinload-164   [001]    23.079287: {DIRTY}", 23_079_287_000, 1, 164, None),
        (f"         pinload-164   [001]    23.079287123: {DIRTY}", 23_079_287_123, 1, 164, None),
        (f"         pinload-164   [001] d..2.    23.079287: {DIRTY}", 23_079_287_000, 1, 164, None),
        (f"         pinload-1234567 (   4321) [011] dNh4. 123456.000001: {DIRTY}", 123_456_000_001_000, 11, 1_234_567, 4321),
        (f"         pinload-164     (-------) [001] ....     0.000001: {DIRTY}", 1000, 1, 164, None),
        (f"         pinload-164   [001]100337072588: {DIRTY}", 100_337_072_588, 1, 164, None),
        (f" pinload-164     1.....    23.079287: {DIRTY}", 23_079_287_000, 1, 164, None),
        (f" pinload-164     1dN.2.   15us!: {DIRTY}", 15_000, 1, 164, None),
        (f" pinload-164     1d..2.    0us : {DIRTY}", 0, 1, 164, None),
        (f"         pinload   164 [001]    23.079287:      writeback:{DIRTY}", 23_079_287_000, 1, 164, None),
        (f"         pinload   160/164   [001]    23.079287123:  writeback:{DIRTY}", 23_079_287_123, 1, 164, 160),
        (f"         pinload   164    23.079287:     1   writeback:{DIRTY}", 23_079_287_000, -1, 164, None),
        (f"  164 [001]    23.079287: writeback:{DIRTY}", 23_079_287_000, 1, 164, None),
    ],
)
def test_every_dialect_gives_the_same_columns(tmp_path: Path, line: str, ts: int, cpu: int, tid: int, tgid: int | None) -> None:
    reader = opened(tmp_path, f"{line}\n")
    found = tables(reader)
    assert list(found) == [("writeback", "writeback_dirty_folio")]
    own = {"seq": 0, "ts": ts, "cpu": cpu, "buffer": "", "common_pid": tid}
    assert only(found) == {**own, "name": "254:16", "ino": 13, "index": 7}
    assert reader.info.tgids == ({tid: tgid} if tgid else {})


@pytest.mark.parametrize(
    "comm", ["a b", "<...>", "kworker/u4:1-ev", "my-prog-12", "[x]", "foo [001] 1.2:", "a:b", "(sd-pam)", "-1-1-1-1-1-1-1", "é"]
)
def test_commands_may_hold_what_ends_commands(tmp_path: Path, comm: str) -> None:
    width = 16 + len(comm) - len(comm.encode())
    for line in (
        f"{comm:>{width}}-77      [000] d....     5.000000: {DIRTY}\n",
        f"{comm:>{width}}    77 [000]     5.000000: writeback:{DIRTY}\n",
    ):
        reader = opened(tmp_path, line)
        assert only(tables(reader))["common_pid"] == 77
        assert reader.info.cmdlines == ({} if comm == "<...>" else {77: comm})


def test_a_payload_that_looks_like_a_line_is_a_payload(tmp_path: Path) -> None:
    found = read(
        tmp_path, "            bash-5     [000] .....     1.000000: tracing_mark_write: x-9 [003] .... 2.000000: sched_waking: pid=1\n"
    )
    assert only(found)["buf"] == "x-9 [003] .... 2.000000: sched_waking: pid=1"
    assert only(found)["common_pid"] == 5


@pytest.mark.parametrize(
    ("payload", "key", "fields"),
    [
        (
            "mm_filemap_add_to_page_cache: dev 254:16 ino 10 pfn=0x144213 ofs=8192 order=3",
            ("filemap", "mm_filemap_add_to_page_cache"),
            {"s_dev": 254 << 20 | 16, "i_ino": 16, "pfn": 0x144213, "index": 2, "order": 3},
        ),
        (
            "mm_filemap_delete_from_page_cache: dev 8:1 ino 1f page=00000000c0ffee00 pfn=1024 ofs=4096",
            ("filemap", "mm_filemap_delete_from_page_cache"),
            {"s_dev": 8 << 20 | 1, "i_ino": 31, "pfn": 1024, "index": 1},
        ),
        (
            "ext4_punch_hole: dev 259,0 ino 12 offset 0 len 65536 mode KEEP_SIZE|PUNCH_HOLE",
            ("ext4", "ext4_punch_hole"),
            {"dev": 259 << 20, "ino": 12, "offset": 0, "len": 65536, "mode": 3},
        ),
        (
            "ext4_fallocate_enter: dev 254,16 ino 13 offset 0 len 2097152 mode ",
            ("ext4", "ext4_fallocate_enter"),
            {"dev": 254 << 20 | 16, "ino": 13, "offset": 0, "len": 2097152, "mode": 0},
        ),
        (
            "ext4_allocate_blocks: dev 8,1 ino 13 flags  len 512 block 33280 lblk 0 goal 1 lleft 2 lright 3 pleft 4 pright 5",
            ("ext4", "ext4_allocate_blocks"),
            {
                "dev": 8 << 20 | 1,
                "ino": 13,
                "len": 512,
                "block": 33280,
                "logical": 0,
                "goal": 1,
                "lleft": 2,
                "lright": 3,
                "pleft": 4,
                "pright": 5,
            },
        ),
        (
            "generic_add_lease: dev=0xfe:0x10 ino=0xc wcount=1 rcount=0 icount=1 fl_owner=0xff fl_flags=FL_LEASE|FL_SLEEP fl_type=F_WRLCK",
            ("filelock", "generic_add_lease"),
            {
                "s_dev": 254 << 20 | 16,
                "i_ino": 12,
                "wcount": 1,
                "rcount": 0,
                "icount": 1,
                "fl_owner": 0xFF,
                "fl_flags": 160,
                "fl_type": 1,
            },
        ),
        (
            (
                "break_lease_block: fl=0x1 dev=0x0:0x10 ino=0xc fl_blocker=0x2 fl_owner=(nil) fl_flags=0x4 fl_type=F_RDLCK "
                "fl_break_time=4294911392 fl_downgrade_time=0"
            ),
            ("filelock", "break_lease_block"),
            {
                "fl": 1,
                "s_dev": 16,
                "i_ino": 12,
                "fl_blocker": 2,
                "fl_owner": 0,
                "fl_flags": 4,
                "fl_type": 0,
                "fl_break_time": 4294911392,
                "fl_downgrade_time": 0,
            },
        ),
        (
            "ib_umem_get: (ffffffffc0515970) dev=0xff2f01dec1780000 addr=0x55d78ce62000 size=65536 access=-1",
            ("kprobes", "ib_umem_get"),
            {"__probe_ip": 0xFFFFFFFFC0515970, "dev": 0xFF2F01DEC1780000, "addr": 0x55D78CE62000, "size": 65536, "access": -1},
        ),
        (
            'opened: (do_open+0x3d/0x120 [ext4] <- caller) path="/a b, c=1" ret=-2',
            ("kprobes", "opened"),
            {"return_symbol": "do_open+0x3d/0x120 [ext4]", "symbol": "caller", "path": "/a b, c=1", "ret": -2},
        ),
        (
            "dax_pte_fault: dev 259:0 ino 0xc shared 0x15 address 0x7f1a18900000 pgoff 0x100 NOPAGE",
            ("fs_dax", "dax_pte_fault"),
            {"dev": 259 << 20, "ino": 12, "address": 0x7F1A18900000, "pgoff": 256},
        ),
        (
            "sched_switch: prev_comm=a b prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=c=d next_pid=2 next_prio=0",
            ("sched", "sched_switch"),
            {"prev_comm": "a b", "prev_pid": 1, "prev_prio": 120, "next_comm": "c=d", "next_pid": 2, "next_prio": 0},
        ),
        (
            "sched_switch: kworker/2:1:29 [120] R ==> a [x]:3 [100]",
            ("sched", "sched_switch"),
            {"prev_comm": "kworker/2:1", "prev_pid": 29, "prev_prio": 120, "next_comm": "a [x]", "next_pid": 3, "next_prio": 100},
        ),
        ("sys_munmap(addr: 7f12a000, len: 1000)", ("syscalls", "sys_enter_munmap"), {"addr": 0x7F12A000, "len": 4096}),
        ("sys_enter_munmap: addr: 0x7f12a000, len: 0x00001000", ("syscalls", "sys_enter_munmap"), {"addr": 0x7F12A000, "len": 4096}),
        ("sys_munmap -> 0xffffffffffffffea", ("syscalls", "sys_exit_munmap"), {"ret": -22}),
        ("sys_exit_openat: 0x2d", ("syscalls", "sys_exit_openat"), {"ret": 45}),
        ("mr_dereg: mr.id=32", ("rdma_core", "mr_dereg"), {"id": 32}),
        ("schedule <-do_nanosleep", ("ftrace", "function"), {"function": "schedule", "parent": "do_nanosleep"}),
    ],
)
def test_payloads_become_the_fields_of_their_event(tmp_path: Path, payload: str, key: tuple[str, str], fields: dict[str, Any]) -> None:
    found = read(tmp_path, f"         pinload-164   [001] .....    23.079287: {payload}\n")
    assert list(found) == [key]
    assert {name: value for name, value in only(found).items() if name not in {"seq", "ts", "cpu", "buffer", "common_pid"}} == fields


def test_raw_payloads_have_the_fields_under_their_own_names(tmp_path: Path) -> None:
    line = "         pinload-164   [001]    23.079287413: "
    text = f"{line}mm_filemap_add_to_page_cache:  pfn=0x144213 i_ino=10 index=0x2 s_dev=266338320 order=0\n"
    text += f"{line}folio_end_writeback:  __probe_ip=ffffffff8acdca30 folio=0xffdd20dd451084c0 ino=13 index=9 refs=1028\n"
    found = read(tmp_path, text)
    assert list(found) == [("filemap", "mm_filemap_add_to_page_cache"), ("kprobes", "folio_end_writeback")]
    cache, folio = (rows[0] for rows in found.values())
    assert (cache["i_ino"], cache["index"], cache["s_dev"]) == (16, 2, 266338320)
    assert (folio["__probe_ip"], folio["index"]) == (0xFFFFFFFF8ACDCA30, 9)


def test_other_events_keep_their_text_and_what_it_tells(tmp_path: Path) -> None:
    text = "".join(
        f"            f2fs-9     [000] .....     1.00000{place}: {payload}\n"
        for place, payload in enumerate(
            (
                "f2fs_write_begin: dev = (7,0), ino = 8, pos = 0, flags = 0x10, mode = 0644, seq = -1",
                "f2fs_write_begin: dev = (7,1), ino = 9, pos = 18446744073709551615, flags = a b, mode = 0755, seq = -2",
                "f2fs_write_begin: something else",
                "odd_event: cpu 3 took 12 of [4/5] at 10:20 runtime=24914 [ns]",
            )
        )
    )
    found = read(tmp_path, text)
    first, second, third = found["f2fs", "f2fs_write_begin"]
    names = ("dev", "ino", "pos", "flags", "mode", "seq_field")
    assert tuple(first[name] for name in names) == (7 << 20, 8, 0, "0x10", "0644", -1)
    assert tuple(second[name] for name in names) == (7 << 20 | 1, 9, (1 << 64) - 1, "a b", "0755", -2)
    assert tuple(third[name] for name in names) == (None,) * 6
    assert third["text"] == "something else"
    (odd,) = found["text", "odd_event"]
    assert (odd["cpu_field"], odd["took"], odd["runtime"]) == (3, 12, 24914)


def test_a_known_event_in_an_unknown_form_is_set_apart_and_counted(tmp_path: Path) -> None:
    reader = opened(tmp_path, f"  x-1 [000] 1.000000: {DIRTY}\n  x-1 [000] 2.000000: writeback_dirty_folio: [FAILED TO PARSE] ino=1\n")
    found = tables(reader)
    assert len(found["writeback", "writeback_dirty_folio"]) == 1
    assert [row["text"] for row in found["text", "writeback_dirty_folio"]] == ["[FAILED TO PARSE] ino=1"]
    assert losses(reader) == {("unparsed_payloads", None): 1, ("timestamps_microseconds", None): 2}


def test_a_number_too_large_for_its_field_is_null_and_counted(tmp_path: Path) -> None:
    reader = opened(tmp_path, "  x-1 [000] 1.000000000: mr_dereg: mr.id=4294967296\n  x-1 [000] 1.000000000: mr_dereg: mr.id=4294967295\n")
    assert [row["id"] for rows in tables(reader).values() for row in rows] == [None, 4294967295]
    assert losses(reader) == {("undecodable_fields", None): 1}


def test_notes_of_the_tools_are_losses_per_cpu(tmp_path: Path) -> None:
    text = f"{HEAD}  x-1 [000] ..... 1.000000: {DIRTY}\nCPU:2 [LOST 64 EVENTS]\nCPU:2 [LOST 6 EVENTS]\n"
    reader = opened(tmp_path, f"{text}CPU:3 [EVENTS DROPPED]\nCPU:1 [7 EVENTS DROPPED]\n")
    tables(reader)
    assert losses(reader) == {
        ("kernel_lost_events", 2): 70,
        ("kernel_lost_events", 1): 7,
        ("kernel_lost_unknown", 3): 1,
        ("kernel_overruns", None): 7,
        ("timestamps_microseconds", None): 1,
    }
    assert (reader.info.cpus, reader.info.format, reader.info.clock) == (4, "tracefs text", "not told, microseconds")


def test_continuation_lines_belong_to_prints_only(tmp_path: Path) -> None:
    text = "              ls-4734  [002] 106439.675571: bprint:               select_task_rq_fair: fig: cpu=0\n gid=4\n\n"
    text += f"              ls-4734  [002] 106439.675578: {DIRTY}\nstray\n\tffffffff81 frame ([kernel])\n => frame\n"
    reader = opened(tmp_path, text)
    found = tables(reader)
    assert found["ftrace", "bprint"][0]["buf"] == "select_task_rq_fair: fig: cpu=0\n gid=4"
    assert losses(reader)["unparsed_lines", None] == 1


def test_buffers_of_trace_cmd(tmp_path: Path) -> None:
    text = f" wbbuf:          pinload-169   [000]    22.560684: {DIRTY}\ngupbuf:      kworker/1:0-5     [001]    22.560685: {DIRTY}\n"
    reader = opened(tmp_path, text)
    (rows,) = tables(reader).values()
    assert [row["buffer"] for row in rows] == ["wbbuf", "gupbuf"]
    assert reader.info.buffers == ("", "wbbuf", "gupbuf")
    assert reader.info.cmdlines == {169: "pinload", 5: "kworker/1:0"}


def test_lines_keep_their_order_and_times_that_go_back_are_counted(tmp_path: Path) -> None:
    reader = opened(tmp_path, "".join(f"  x-1 [00{cpu}] {time}.000000: {DIRTY}\n" for cpu, time in ((0, 5), (1, 5), (0, 4), (1, 6))))
    (rows,) = tables(reader).values()
    assert [(row["seq"], row["ts"] // NS, row["cpu"]) for row in rows] == [(0, 5, 0), (1, 5, 1), (2, 4, 0), (3, 6, 1)]
    assert losses(reader)["timestamps_backwards", None] == 1


def test_batches_have_one_schema_each_and_go_on_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.ingest.textsurvey.BATCH_LINES", 3)
    lines = [f"  x-1 [000] 1.00000{place}: odd: value={'0x10' if place < 7 else 'end'}\n" for place in range(10)]
    reader = opened(tmp_path, "".join(lines).replace("odd: value=0x10", "bprint: a\nb", 1))
    batches = [batch.tables for batch in reader.batches()]
    assert [sum(table.num_rows for table in batch.values()) for batch in batches] == [3, 3, 3, 1]
    assert len({table.schema.to_string() for batch in batches for name, table in batch.items() if name[1] == "odd"}) == 1
    rows = [row for batch in batches for table in batch.values() for row in table.to_pylist()]
    assert sorted(row["seq"] for row in rows) == list(range(10))
    assert {row.get("value") for row in rows} == {None, "0x10", "end"}


def test_invalid_utf8_and_nuls_are_replaced_and_kept(tmp_path: Path) -> None:
    reader = opened(tmp_path, b"  \xff\xfe-1 [000] 1.000000: print: a\xffb\0c\n")
    assert only(tables(reader))["buf"] == "a\ufffdb\0c"
    assert reader.info.cmdlines == {1: "\ufffd\ufffd"}


def test_a_last_line_without_an_end_is_cut(tmp_path: Path) -> None:
    whole, cut = f"  x-1 [000] 1.000000: {DIRTY}\n", f"  x-1 [000] 1.000000: {DIRTY}"
    reader = opened(tmp_path, whole + cut)
    assert len(tables(reader)["writeback", "writeback_dirty_folio"]) == 1
    assert losses(reader)["truncated_bytes", None] == len(cut)


@pytest.mark.parametrize("text", ["cpus=2\n", HEAD, "cpus=2\nhello\n"])
def test_text_without_an_event_is_refused_with_line_and_offset(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(text)
    with pytest.raises(TraceError, match=r"byte \d+: (line 2|no event)") as caught:
        open_text(path)
    assert caught.value.offset in {7, 25, len(text)}


def test_lowering_takes_text(tmp_path: Path) -> None:
    lines = (
        "(ffffffff8acdca30) ino=13 dev=266338320 addr=0x7f0000000000 len=65536 vm_flags=0xfb pgoff=0",
        "(ffffffffc0515970) dev=0xff2f01dec1780000 addr=0x7f0000000000 size=8192 access=0x7",
        "(ffffffff8acc7900) start=0x7f0000000000 nr_pages=2 gup_flags=0x10001",
    )
    names = ("mmap_region", "ib_umem_get", "pin_user_pages_fast")
    task = "         pinload-164   [001]    23.00000"
    text = "".join(f"{task}{at}: {name}: {line}\n" for at, (name, line) in enumerate(zip(names, lines, strict=True)))
    text += f"{task}3: pin_user_pages_fast_ret: (ffffffff8acc7900 <- ffffffffc0515b6c) ret=2\n"
    text += f"{task}4: ib_umem_get_ret: (ffffffffc0515970 <- ffffffffc054b7ef) umem=0xff2f01dec17a5580\n"
    text += f"{task}5: mm_filemap_add_to_page_cache: dev 254:16 ino d pfn=0x144213 ofs=4096 order=0\n"
    reader = opened(tmp_path, text)
    lowering = Lowering(reader.info, reader.losses)
    for batch in reader.batches():
        lowering.add(batch)
    events = shown("events", lowering.finish().tables["events"])
    assert [tuple(event[name] for name in ("op", "file", "index", "npages", "comm")) for event in events] == [
        ("mmap", "254:16:13", 0, 16, "pinload"),
        ("mr_reg", "254:16:13", 0, 2, "pinload"),
        ("pin", "254:16:13", 0, 2, "pinload"),
        ("cache_add", "254:16:13", 1, 1, "pinload"),
    ]
