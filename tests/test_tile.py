"""The tool that tiles a trace: every copy has the records of the first, later, on other files and by other tasks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bench.measure import event_count
from bench.tile import tile
from builders import tracedat

from replay.errors import ReplayError
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd

SAMPLE = Path(__file__).parent.parent / "sample_traces" / "rdma-ext4.dat"
INO_FIELD = ("unsigned long ino", 8, 8, 0)
FORMATS = [("fs", tracedat.format_text("opened", 300, [INO_FIELD])), ("fs", tracedat.format_text("closed", 301, [INO_FIELD]))]


def rows(reader: TraceCmdReader) -> dict[tuple[str, str], pa.Table]:
    batches = [batch.tables for batch in reader.batches()]
    names = {name for tables in batches for name in tables}
    return {name: pa.Table.from_batches([tables[name] for tables in batches if name in tables]) for name in sorted(names)}


def small_trace() -> tracedat.Trace:
    def opened(ino: int, pid: int = 17) -> bytes:
        return tracedat.payload(300, pid, ino.to_bytes(8, "little"))

    first = tracedat.data(0, opened(12)) + tracedat.data(5, opened(0)) + tracedat.time_extend(1 << 30) + tracedat.data(1, opened(13))
    second = (
        tracedat.absolute(4_000_000_000) + tracedat.discarded(2, 12) + tracedat.long_data(3, opened(12, pid=0)) + tracedat.end_of_page()
    )
    third = tracedat.data(7, opened(0xF0000001, pid=200))
    pages = tracedat.page(1_000, first) + tracedat.page(3_000_000_000, second, lost=3)
    return tracedat.Trace(FORMATS, [tracedat.Instance("", [pages, tracedat.page(2_000, third)])])


@pytest.mark.parametrize("form", ["v6", "none", "zlib", "zstd", "zstd to plain"])
def test_copies_differ_in_time_file_and_task_only(form: str, tmp_path: Path) -> None:
    source, target = tmp_path / "small.dat", tmp_path / "tiled.dat"
    source.write_bytes(tracedat.version_6(small_trace()) if form == "v6" else tracedat.version_7(small_trace(), form.split(maxsplit=1)[0]))
    assert tile(str(source), str(target), 11, plain=form.endswith("plain")) == 3
    reader = open_tracecmd(target)
    table = rows(reader)["fs", "opened"]
    period = 4_000_000_005 - 1_000 + 1_000_000
    times = [1_000, 2_007, 1_005, 1_000 + 6 + (1 << 30), 4_000_000_005]
    assert table["ts"].to_pylist() == [later + ts for later in (0, period, 2 * period) for ts in sorted(times)]
    assert table["ino"].to_pylist() == [
        12, 0, 0xF0000001, 13, 12,
        28, 0, 0xF0000001, 29, 28,
        44, 0, 0xF0000001, 45, 44,
    ]  # fmt: skip
    assert table["common_pid"].to_pylist() == [17, 17, 200, 17, 0, 273, 273, 456, 273, 0, 529, 529, 712, 529, 0]
    assert reader.info.cmdlines == {17: "pinload", 273: "pinload", 529: "pinload"}
    assert reader.losses.count("kernel_lost_events") == 9
    assert sum(reader.losses.counts.values()) == 9


def test_a_recorded_trace_keeps_everything_else(tmp_path: Path) -> None:
    target = tmp_path / "tiled.dat"
    assert tile(str(SAMPLE), str(target), 100_000) == 3
    once, thrice = rows(open_tracecmd(SAMPLE)), rows(open_tracecmd(target))
    assert once.keys() == thrice.keys()
    for name, table in once.items():
        assert thrice[name].num_rows == 3 * table.num_rows
        assert thrice[name].slice(0, table.num_rows).equals(table)
        moving = [n for n in table.column_names if n in ("seq", "ts") or n.endswith(("pid", "ino")) or n == "parent"]
        second = thrice[name].slice(table.num_rows, table.num_rows)
        assert second.drop_columns(moving).equals(table.drop_columns(moving))
        assert (
            pc.unique(pc.subtract(second["ts"], table["ts"])).to_pylist()
            == pc.unique(pc.subtract(second["ts"], table["ts"])).to_pylist()[:1]
        )
    writebacks = thrice["gup", "folio_start_writeback"]
    assert len(pc.unique(writebacks["ino"])) == 3 * len(pc.unique(once["gup", "folio_start_writeback"]["ino"]))


@pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="no trace-cmd")
def test_trace_cmd_reads_it(tmp_path: Path) -> None:
    target = tmp_path / "tiled.dat"
    tile(str(SAMPLE), str(target), 77_750)
    lines = {
        path: subprocess.run(["trace-cmd", "report", str(path)], capture_output=True, check=True, text=True).stdout.splitlines()
        for path in (SAMPLE, target)
    }
    assert len(lines[target]) - 1 == 2 * (len(lines[SAMPLE]) - 1)


def test_what_cannot_be_tiled_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "empty.dat"
    source.write_bytes(tracedat.version_7(tracedat.Trace(FORMATS, [tracedat.Instance("", [b""])])))
    with pytest.raises(ReplayError, match="no events"):
        tile(str(source), str(tmp_path / "tiled.dat"), 1)
    assert list(tmp_path.iterdir()) == [source]


def test_sizes_are_written_short() -> None:
    assert [event_count(text) for text in ("12", "5k", "1.5M", "2G")] == [12, 5_000, 1_500_000, 2_000_000_000]
