"""Hostile, cut and mixed-up text: an error in one line or a counted loss, in time and memory that go with its size."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.errors import TraceError
from replay.ingest.lowering import Lowering
from replay.ingest.text import open_text

LINES = (
    b"# tracer: nop\n",
    b"# entries-in-buffer/entries-written: 7/7   #P:2\n",
    b"         pinload-164   [001] .....    23.079287: mmap_region: (mmap_region+0x0/0x770) ino=13 dev=266338320 addr=0x7f0000 len=65536\n",
    b"         pinload-164   [001] d..1.    23.079288: writeback_dirty_folio: bdi 254:16: ino=13 index=1\n",
    b"    kworker/u4:1-25    [000] .....    23.079289: mm_filemap_add_to_page_cache: dev 254:16 ino d pfn=0x144213 ofs=4096 order=0\n",
    b"         pinload-164   [001] .....    23.079290: bprint: first\nsecond line\n",
    b"          <idle>-0     [001] d.h1.    23.079291: f2fs_write_end: dev = (7,0), ino = 8, name = x y, copied = -64\n",
    b"CPU:1 [LOST 64 EVENTS]\n",
    b"         pinload-164   [001] .....    23.079292: sched_process_exit: comm=pin load pid=164 prio=120\n",
    b"         pinload-164   [001] .....    23.079293: sys_munmap(addr: 7f0000, len: 1000)\n",
)
WHOLE = b"".join(LINES)
SCRIPT = b"".join(
    (
        b"         pinload   164 [001]    23.079287:      writeback:writeback_dirty_folio: bdi 254:16: ino=13 index=1\n",
        b"         pinload   160/164   [001]    23.079288: 1   cycles:u: \n\tffffffff81 frame ([kernel])\n\n",
        b"         pinload   164 [001]     0.000000: PERF_RECORD_MMAP2 164/164: [0x7f0000(0x1000) @ 0 fe:10 13 1]: rw-s /data/i\n",
        b"         pinload   164 [001]    23.079289: PERF_RECORD_FORK(164:165):(164:164)\n",
    )
)
SNIPPETS = (b"\n", b"\0", b"-1 [001] 1.5: x: ", b"(", b"=", b"9" * 25)
Row = tuple[object, ...]


def read(path: Path, text: bytes) -> tuple[list[Row], dict[str, int]]:
    """Rows in order with event, time, task and all of their text; losses. Lowers the trace too."""
    path.write_bytes(text)
    reader = open_text(path)
    lowering = Lowering(reader.info, reader.losses)
    rows: list[Row] = []
    for batch in reader.batches():
        for name, table in batch.tables.items():
            table.validate(full=True)
            rows += [(row["seq"], row["ts"], row["common_pid"], name[1]) for row in table.to_pylist()]
        lowering.add(batch)
    lowering.finish()
    return sorted(rows, key=lambda row: row[0]), {name: reader.losses.count(name) for name, _ in reader.losses.counts}


def refusal(path: Path, text: bytes) -> str:
    """Why it is refused, or nothing."""
    try:
        read(path, text)
    except TraceError as error:
        return str(error)
    return ""


def test_cut_at_every_byte_it_is_refused_or_a_counted_loss(tmp_path: Path) -> None:
    whole, _ = read(tmp_path / "whole.txt", WHOLE)
    assert len(whole) == 7
    ends = {len(b"".join(LINES[:count])) for count in range(len(LINES) + 1)} | {WHOLE.index(b"second line")}
    for place in range(len(WHOLE)):
        (tmp_path / "cut.txt").write_bytes(WHOLE[:place])
        if place < len(b"".join(LINES[:3])):
            with pytest.raises(TraceError, match=r"cut\.txt: byte \d+"):
                open_text(tmp_path / "cut.txt")
            continue
        rows, losses = read(tmp_path / "cut.txt", WHOLE[:place])
        assert rows == whole[: len(rows)]
        assert losses.get("truncated_bytes", 0) > 0 or place in ends, place


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_give_tables_that_hold_together_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from([WHOLE, SCRIPT, WHOLE + SCRIPT])))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text)))
        size = data.draw(st.integers(0, 40))
        text[at : at + size] = data.draw(
            st.one_of(st.binary(max_size=12), st.sampled_from([b"\n", b"\0", b"-1 [001] 1.5: x: ", b"(", b"=", b"9" * 25]))
        )
    assert "\n" not in refusal(tmp_path / "hostile.txt", bytes(text))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*WHOLE.split(b" "), *SCRIPT.split(b" "), b" ", b"\n", b"0x", b"-", b":", b"\xff"]), max_size=60))
def test_any_order_of_words_is_read_or_refused(tmp_path: Path, words: list[bytes]) -> None:
    assert "\n" not in refusal(tmp_path / "words.txt", b" ".join(words) + b"\n")


MB = 1 << 20
TASK = b"         pinload-164   [001]    23.079287: "


@pytest.mark.parametrize(
    "line",
    [
        b"-" * MB,
        b"-1" * (MB // 2),
        b"-1 " * (MB // 3),
        b"1" * MB,
        b" " * MB,
        b"1 " * (MB // 2),
        b"x-1 [000] " + b"9" * MB,
        TASK + b"a" * MB,
        TASK + b"print: " + b"b" * MB,
        TASK + b"odd: " + b"a=" * (MB // 2),
        TASK + b"odd: " + b"key 1 " * (MB // 6),
        TASK + b"odd: " + b'a="' * (MB // 3),
        TASK + b"sched_process_exit: comm=" + b" pid=" * (MB // 5),
        TASK + b"sched_switch: " + b":1 [" * (MB // 4),
        TASK + b"p: (" + b"(" * MB,
        TASK + b"writeback_dirty_folio: bdi " + b": ino=" * (MB // 6),
    ],
    ids=range(16),
)
def test_lines_of_a_megabyte_take_no_more_time_than_their_size(tmp_path: Path, line: bytes) -> None:
    begin = time.perf_counter()
    read(tmp_path / "long.txt", WHOLE + line + b"\n" + WHOLE)
    assert time.perf_counter() - begin < 3


def test_more_event_names_than_any_kernel_has_are_counted(tmp_path: Path) -> None:
    text = b"".join(TASK + b"event_%d: a=1\n" % number for number in range(5000))
    rows, losses = read(tmp_path / "names.txt", text)
    assert (len(rows), losses["unparsed_lines"]) == (4096, 904)


def test_many_forms_of_one_event_keep_their_text(tmp_path: Path) -> None:
    text = b"".join(TASK + b"odd: key%d=1\n" % number for number in range(300))
    (tmp_path / "forms.txt").write_bytes(text)
    tables = [table for batch in open_text(tmp_path / "forms.txt").batches() for table in batch.tables.values()]
    assert [table.num_rows for table in tables] == [300]
    assert tables[0]["text"].to_pylist()[299] == "key299=1"
    assert tables[0].num_columns < 20


@pytest.mark.parametrize(
    "where", ["[65536] 1.000000000", "[001] 8999999999.000000000", "[001] 2305843009213693952", "[001] 9999999999999999999"]
)
def test_times_and_cpus_that_cannot_be_are_no_events(tmp_path: Path, where: str) -> None:
    good = "  x-1 [65535] 1.000000000: mr_dereg: mr.id=1\n"
    rows, losses = read(tmp_path / "far.txt", f"{good}  x-1 {where}: mr_dereg: mr.id=2\n".encode())
    assert (len(rows), losses["unparsed_lines"]) == (1, 1)
