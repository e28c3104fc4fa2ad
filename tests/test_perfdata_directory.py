"""perf.data directories of `perf record --threads`: one trace, whose samples are in other files than its header."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import perfdata as make
from builders.samples import START, WAKES, comm, usual, wake

from replay.errors import TraceError
from replay.ingest.many import find_traces, ingest_many
from replay.ingest.perfdata import open_perfdata
from replay.ingest.pipeline import ingest_file
from replay.store import Store

DIR_FORMAT = 24
FIRST = [wake(n, START + 20 * n, cpu=0) for n in range(7)]
SECOND = [wake(n, START + 20 * n + 10, cpu=1, number=32) for n in range(5)]


def recorded(folder: Path, first: bytes, second: bytes) -> Path:
    """`data.10` follows `data.2` by number, not by name."""
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(make.file_mode(usual([comm(b"app", START)], WAKES, features={DIR_FORMAT: make.words(1)})))
    for name, content in (("data.2", first), ("data.10", second), ("data.11", b""), ("data.old", b"else")):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return recorded(tmp_path / "traces" / "perf.data", b"".join(FIRST), b"".join(SECOND))


def rows(path: Path) -> list[tuple[int, int, int]]:
    tables = [batch.tables for batch in open_perfdata(path).batches()]
    return [(row["ts"], row["cpu"], row["n"]) for held in tables for row in held["sched", "wake"].to_pylist()]


def test_samples_of_all_its_files_are_merged_by_time(folder: Path) -> None:
    assert rows(folder) == sorted([(START + 20 * n, 0, n) for n in range(7)] + [(START + 20 * n + 10, 1, n) for n in range(5)])
    assert open_perfdata(folder).info.format == "perf.data directory"


def test_every_file_has_a_compressed_stream_of_its_own(tmp_path: Path, folder: Path) -> None:
    packed = [b"".join(make.compressed(b"".join(records), 2)) for records in (FIRST, SECOND)]
    assert rows(recorded(tmp_path / "packed", *packed)) == rows(folder)


def test_samples_of_equal_time_stand_in_the_order_of_the_files_numbers(tmp_path: Path) -> None:
    twice = recorded(tmp_path / "twice", wake(1, START), wake(2, START, number=32))
    assert [n for _, _, n in rows(twice)] == [1, 2]


def test_it_is_one_trace_among_others(tmp_path: Path, folder: Path) -> None:
    (folder.parent / "another").write_bytes(make.file_mode(usual(FIRST)))
    found = find_traces([str(folder.parent), str(folder)])
    assert found.traces == (str(folder.parent / "another"), str(folder), str(folder))
    outcomes = list(ingest_many(Store(tmp_path / "store", create=True), found.traces))
    summaries = [outcome.summary for outcome in outcomes]
    assert [outcome.refusal for outcome in outcomes] == [""] * 3
    assert [summary.already for summary in summaries if summary] == [False, False, True]
    assert [summary.entry.manifest["row"]["raw_events"] for summary in summaries if summary] == [7, 13, 13]
    assert summaries[1]
    assert summaries[1].entry.manifest["row"]["source"] == "perf.data"


def test_its_content_is_that_of_all_its_files(tmp_path: Path, folder: Path) -> None:
    """The same bytes cut at another place are another trace."""
    store = Store(tmp_path / "store", create=True)
    before = ingest_file(store, f"{folder}/")
    moved = recorded(tmp_path / "moved", b"".join([*FIRST, SECOND[0]]), b"".join(SECOND[1:]))
    assert ingest_file(store, str(moved)).trace != before.trace
    assert ingest_file(store, str(folder)).already


def test_one_file_of_it_is_no_trace(folder: Path) -> None:
    with pytest.raises(TraceError, match=r"perf.data/data: this is one file of a perf.data directory \(ingest the directory\)"):
        open_perfdata(folder / "data")


def test_a_file_that_was_cut_is_counted(tmp_path: Path) -> None:
    reader = open_perfdata(recorded(tmp_path / "cut", b"".join(FIRST)[:-20], b"".join(SECOND)))
    counted = sum(batch.tables["sched", "wake"].num_rows for batch in reader.batches())
    assert (counted, reader.losses.count("undecodable_bytes")) == (11, len(FIRST[-1]) - 20)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x17\x08\x44tracing"])
def test_a_directory_of_a_file_called_data_is_a_directory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").write_bytes(content)
    (tmp_path / "other").write_bytes(make.file_mode(usual(FIRST)))
    assert str(tmp_path / "other") in find_traces([str(tmp_path)]).traces
