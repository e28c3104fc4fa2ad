"""Raw tables on disk: every row, in order, the same bytes each time, whatever the events are called."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay.ingest import rawfiles
from replay.ingest.rawfiles import RawFile, RawFiles
from replay.ingest.records import RawBatch


def batch(first: int, rows: int) -> pa.RecordBatch:
    return pa.record_batch({"seq": pa.array(range(first, first + rows), pa.int64()), "comm": ["app"] * rows})


def unheard(_: Path) -> None:
    pass


def fill(folder: Path, whole: Callable[[Path], None] = unheard) -> list[RawFile]:
    with RawFiles(folder, whole) as files:
        for first in range(0, 101, 10):
            files.add(
                RawBatch({("sched", "switch"): batch(first, 10), ("gup", "pin"): batch(first + 1000, 1), ("gup", "none"): batch(0, 0)})
            )
        files.end()
        return files.finish()


def test_rows_keep_their_order_over_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", 23)
    found = fill(tmp_path / "raw")
    assert found == [RawFile("gup", "pin", "gup.pin.parquet", 11), RawFile("sched", "switch", "sched.switch.parquet", 110)]
    table = pq.ParquetFile(tmp_path / "raw" / "sched.switch.parquet")
    assert table.metadata.num_row_groups == 4
    assert table.read()["seq"].to_pylist() == list(range(110))
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["gup.pin.parquet", "sched.switch.parquet"]


@pytest.mark.parametrize("group_rows", [10, 11, 1000])
def test_each_file_is_told_once_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int) -> None:
    """Also where nothing was left to write at the end: 110 rows are eleven row groups of ten, and ten of eleven."""
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", group_rows)
    rows: dict[str, int] = {}

    def whole(path: Path) -> None:
        assert path.name not in rows
        rows[path.name] = pq.read_metadata(path).num_rows

    fill(tmp_path / "raw", whole)
    assert rows == {"gup.pin.parquet": 11, "sched.switch.parquet": 110}


def test_same_rows_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", 7)
    for name in ("a", "b"):
        fill(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_hostile_names_stay_inside_of_the_folder(tmp_path: Path) -> None:
    names = [("../../etc", "passwd"), ("a", "b/c"), ("a", "b_c"), ("a", "B_C"), ("", ""), ("x" * 300, "y" * 300), ("s", "e\0\n")]
    with RawFiles(tmp_path / "raw", unheard) as files:
        for name in names:
            files.add(RawBatch({name: batch(0, 3)}))
        files.end()
        found = files.finish()
    assert len({table.file.lower() for table in found}) == len(names)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == sorted(table.file for table in found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]
    assert {(table.system, table.event) for table in found} == set(names)


def overfill(folder: Path) -> None:
    with RawFiles(folder, unheard) as files:
        for first in range(100):
            files.add(RawBatch({("sched", "switch"): batch(first, 1)}))
        raise KeyError


def test_failure_of_a_thread_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rawfiles, "_write_group", full)
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", 1)
    with pytest.raises(OSError, match="No space left"):
        overfill(tmp_path / "raw")
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", 1 << 20)
    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path / "late")


def test_leaving_early_waits_for_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawfiles, "GROUP_ROWS", 1)
    with pytest.raises(KeyError):
        overfill(tmp_path / "raw")


def test_tables_are_closed_as_soon_as_they_are_whole(tmp_path: Path) -> None:
    """The usual limit is 1,024 open files, and a trace of all events has more tables than that."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64, before[1]))
    try:
        with RawFiles(tmp_path / "raw", unheard) as files:
            for number in range(300):
                files.add(RawBatch({("all", f"event{number}"): batch(number, 3)}))
            files.end()
            tables = files.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [table.rows for table in tables] == [3] * 300
    assert all(pq.read_metadata(tmp_path / "raw" / table.file).num_rows == 3 for table in tables)
