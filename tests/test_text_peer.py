"""Text and binary of the same trace give the same canonical events.

Equal are all tables of a trace and all of their columns, row for row, but for what text cannot show: times are equal up to
the precision of the text, and losses and the names of systems are not compared.
REPLAY_EXTRA_TRACES names a folder with the traces; text of the others is printed by trace-cmd.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from replay.ingest.lowering import Lowering
from replay.ingest.perfdata import open_perfdata
from replay.ingest.records import RawBatch, TraceReader
from replay.ingest.text import open_text
from replay.ingest.tracecmd import open_tracecmd

FOLDER = Path(os.environ.get("REPLAY_EXTRA_TRACES", "/nonexistent"))
RECORDED = Path(__file__).parent.parent / "sample_traces"
needs_trace_cmd = pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")
MICROSECOND = 1000
TIMES = frozenset({"ts", "ts_reg", "ts_dereg", "ts_pin", "ts_unpin"})
# Differences of two times are off by twice the precision; a slot's or region's own times are in TIMES.
SPANS = frozenset({"dur"})

Tables = dict[str, pa.Table]


def lowered(reader: TraceReader, without: str | None = None) -> Tables:
    """`without`: a system whose tables are left out."""
    lowering = Lowering(reader.info, reader.losses)
    for batch in reader.batches():
        lowering.add(RawBatch({name: table for name, table in batch.tables.items() if name[0] != without}))
    return lowering.finish().tables


def script(trace: Path, folder: Path, *options: str) -> Path:
    """What perf script prints, or skip."""
    if shutil.which("perf") is None:
        pytest.skip("perf is not installed")
    shown = subprocess.run(["perf", "script", "-i", str(trace), *options], capture_output=True, check=False)
    if shown.returncode != 0 or not shown.stdout:
        pytest.skip(f"perf cannot read it: {shown.stderr.decode(errors='replace').strip()[:80]}")
    path = folder / "script.txt"
    path.write_bytes(shown.stdout)
    return path


def report(trace: Path, folder: Path, *options: str) -> Path:
    shown = subprocess.run(["trace-cmd", "report", *options, str(trace)], capture_output=True, check=False)
    if shown.returncode != 0 or not shown.stdout:
        pytest.skip(f"trace-cmd cannot read it: {shown.stderr.decode(errors='replace').strip()[:80]}")
    path = folder / "report.txt"
    path.write_bytes(shown.stdout)
    return path


def recorded(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    return path


def assert_equal(binary: Tables, text: Tables, precision_ns: int, ignored: Sequence[str] = ()) -> None:
    for name in ("events", "files", "slots", "tasks", "mrs", "pins"):
        assert text[name].num_rows == binary[name].num_rows, name
        for column in set(binary[name].schema.names) - set(ignored):
            mine, theirs = text[name][column].to_pylist(), binary[name][column].to_pylist()
            within = precision_ns * (column in TIMES) + 2 * precision_ns * (column in SPANS)
            assert [row for row, pair in enumerate(zip(mine, theirs, strict=True)) if not _same(*pair, within)] == [], (name, column)
    assert _counts(text) == _counts(binary)


def _same(mine: Any, theirs: Any, within: int) -> bool:
    return mine == theirs or (within > 0 and None not in {mine, theirs} and abs(mine - theirs) <= within)


def _counts(tables: Tables) -> dict[str, tuple[int, bool]]:
    """Rows of each tracepoint, and whether it is mapped."""
    return {row["event"]: (row["rows"], row["mapped"] is not None) for row in tables["tracepoints"].to_pylist()}


def test_a_report_and_its_trace() -> None:
    binary = lowered(open_tracecmd(recorded("ext4-v6.dat")))
    text = lowered(open_text(recorded("ext4-v6.report.txt")))
    assert binary["events"].num_rows > 11_000
    assert_equal(binary, text, MICROSECOND)


@needs_trace_cmd
@pytest.mark.parametrize("options", [("-t",), ("-R", "-t"), ()], ids=" ".join)
@pytest.mark.parametrize("name", ["rdma-ext4.dat", "lease-dax.dat"])
def test_reports_of_the_sample_traces(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    trace = RECORDED / name
    assert_equal(lowered(open_tracecmd(trace)), lowered(open_text(report(trace, tmp_path, *options))), 0 if options else MICROSECOND)


@needs_trace_cmd
@pytest.mark.parametrize("options", [("-t",), ("-R", "-t")], ids=" ".join)
@pytest.mark.parametrize(
    "name",
    [
        *("ext4-v6.dat", "ext4-v7.dat", "lease.dat", "dax.dat", "dax-refused.dat", "multi-buffer.dat", "lost-events.dat", "clock-tsc.dat"),
        *(f"thirdparty/{name}.dat" for name in ("azure-all-events", "i686-ext4", "i915", "lisa-arm64-sched", "trappy-raw-bprint")),
    ],
)
def test_reports_of_other_traces(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    trace = recorded(name)
    reader = open_tracecmd(trace)
    text = open_text(report(trace, tmp_path, *options))
    assert_equal(lowered(reader), lowered(text), 0)
    assert text.losses.count("kernel_lost_events") == reader.losses.count("kernel_lost_events")
    assert text.losses.count("kernel_lost_unknown") == reader.losses.count("kernel_lost_unknown")
    assert text.losses.count("unparsed_payloads") == text.losses.count("unparsed_lines") == 0


@needs_trace_cmd
def test_latency_format_cuts_commands_only(tmp_path: Path) -> None:
    trace = RECORDED / "rdma-ext4.dat"
    assert_equal(lowered(open_tracecmd(trace)), lowered(open_text(report(trace, tmp_path, "-l"))), MICROSECOND, ignored=("comm", "kthread"))


@needs_trace_cmd
def test_leaf_functions_are_one_line_in_text(tmp_path: Path) -> None:
    """trace-cmd joins entry and exit of a function that calls none, so that later events have earlier lines."""
    trace = recorded("function-graph.dat")
    binary, text = lowered(open_tracecmd(trace)), lowered(open_text(report(trace, tmp_path, "-t")))
    assert_equal({**binary, "tracepoints": text["tracepoints"]}, text, 0, ignored=("seq",))


def test_raw_tables_have_the_columns_of_the_binary(tmp_path: Path) -> None:
    """Of events with a declared form, text has the fields with the types that the format describes, but fewer."""
    trace = RECORDED / "rdma-ext4.dat"
    if shutil.which("trace-cmd") is None:
        pytest.skip("trace-cmd is not installed")
    binary = {name: table for batch in open_tracecmd(trace).batches() for name, table in batch.tables.items()}
    text = {name: table for batch in open_text(report(trace, tmp_path, "-t")).batches() for name, table in batch.tables.items()}
    compared = 0
    for (system, event), table in text.items():
        if system == "kprobes" or "text" in table.schema.names:
            continue
        theirs = binary[system, event]
        for field in table.schema:
            if field.type != pa.string() or theirs.schema.field(field.name).type == pa.string():
                assert theirs.schema.field(field.name).type == field.type, (event, field.name)
                if table.num_rows == theirs.num_rows:
                    assert table[field.name].to_pylist() == theirs[field.name].to_pylist(), (event, field.name)
                    compared += 1
    assert compared > 50


def test_a_perf_script_and_its_perf_data() -> None:
    """The script shows the samples: not perf's own records of tasks and mappings, and threads without their process."""
    binary = lowered(open_perfdata(recorded("ext4.perf.data")), without="perf")
    text = lowered(open_text(recorded("ext4.perf-script.txt")))
    assert binary["events"].num_rows > 11_000
    assert_equal(binary, text, MICROSECOND, ignored=("seq", "tgid"))


@pytest.mark.parametrize(
    ("options", "precision_ns", "ignored"),
    [
        (("--ns", "-F", "comm,pid,tid,cpu,time,event,trace"), 0, ()),
        (("-F", "comm,pid,tid,cpu,time,event,trace,period"), MICROSECOND, ()),
        (("--ns", "-F", "tid,cpu,time,event,trace"), 0, ("tgid", "comm", "kthread")),
        (("--ns", "-F", "comm,tid,time,event,trace"), 0, ("tgid", "cpu")),
    ],
)
def test_a_perf_script_with_all_records_tells_all(
    options: tuple[str, ...], precision_ns: int, ignored: tuple[str, ...], tmp_path: Path
) -> None:
    trace = recorded("ext4.perf.data")
    text = open_text(script(trace, tmp_path, "--show-mmap-events", "--show-task-events", *options))
    assert_equal(lowered(open_perfdata(trace)), lowered(text), precision_ns, ignored)
    assert text.losses.count("unparsed_lines") == text.losses.count("unparsed_payloads") == 0
