"""Recorded traces: row for row what trace-cmd reports of them, and no crash when they are cut.

REPLAY_EXTRA_TRACES names a folder of .dat files. REPLAY_SLOW_TESTS=1 takes in the large ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from replay.errors import TraceError
from replay.ingest.records import OWN_COLUMNS
from replay.ingest.tracecmd import TraceCmdReader, open_tracecmd

FOLDER = os.environ.get("REPLAY_EXTRA_TRACES", "")
SLOW = bool(os.environ.get("REPLAY_SLOW_TESTS"))
FILES = sorted(Path(FOLDER).rglob("*.dat")) if FOLDER else []
LINE = re.compile(r"^(?:\s*(\S+): )?\s*(.*)-(\d+)\s+\[(\d+)\]\s*([\d.]+):\s+(\S+?):(?:\s(.*))?$")
CUTS = 200
TEXT_EVENTS = {"print", "bprint"}

needs_traces = pytest.mark.skipif(not FILES, reason="REPLAY_EXTRA_TRACES names no folder with .dat files")
needs_trace_cmd = pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")
Line = tuple[int, int, int, str, str]


def report(path: Path) -> tuple[list[Line], list[str], list[str]]:
    """(ts, cpu, pid, event, buffer) of each line, the fields' text of each, and the lines about lost events."""
    shown = subprocess.run(["trace-cmd", "report", "-R", "-t", str(path)], capture_output=True, check=False)
    if shown.returncode != 0:
        pytest.skip(f"trace-cmd cannot read it: {shown.stderr.decode(errors='replace').strip()[:80]}")
    lines, fields, lost = [], [], []
    for line in shown.stdout.decode("utf-8", "replace").split("\n"):
        match = LINE.match(line)
        if match:
            buffer, _, pid, cpu, ts, event, text = match.groups()
            lines.append((int(ts.replace(".", "")), int(cpu), int(pid), event, buffer or ""))
            fields.append(f" {text or ''} ")
        elif "EVENTS DROPPED]" in line:
            lost.append(line)
    return lines, fields, lost


def rows(reader: TraceCmdReader) -> tuple[list[Line], dict[int, dict[str, object]]]:
    """All rows in the order of seq, and the values of the first, some middle and the last of each event."""
    found: dict[int, Line] = {}
    samples: dict[int, dict[str, object]] = {}
    for batch in reader.batches():
        for (_, event), table in batch.tables.items():
            columns = (table.column(name).to_pylist() for name in ("seq", "ts", "cpu", "common_pid", "buffer"))
            for seq, ts, cpu, pid, buffer in zip(*columns, strict=True):
                found[seq] = (ts, cpu, pid, event, buffer)
            for at in {0, table.num_rows // 2, table.num_rows // 3, table.num_rows - 1}:
                row = table.slice(at, 1).to_pylist()[0]
                samples[row["seq"]] = row
    return [found[seq] for seq in sorted(found)], samples


def agrees(text: str, name: str, value: object) -> bool | None:
    """Whether the line shows the value; None if it does not show it as a number or string (a symbol, an array)."""
    shown = re.search(rf" {re.escape(name)}=(-?\w+) ", text)
    if isinstance(value, str):
        return f" {name}={value}" in text if value and f" {name}=" in text and "\n" not in value else None
    if shown is None or not isinstance(value, int) or isinstance(value, bool):
        return None
    readings = set()
    for base in (8, 10, 16):
        with contextlib.suppress(ValueError):
            readings.add(int(shown[1], base))
    if not readings:
        return None
    return any((reading - value) % (1 << bits) == 0 for reading in readings for bits in (32, 64))


def names(path: object) -> str:
    return path.name if isinstance(path, Path) else str(path)


@needs_traces
@needs_trace_cmd
@pytest.mark.parametrize("path", FILES, ids=names)
def test_rows_are_the_lines_of_trace_cmd(path: Path) -> None:
    if path.stat().st_size > 6_000_000 and not SLOW:
        pytest.skip("a large trace; REPLAY_SLOW_TESTS=1 takes it in")
    lines, fields, lost = report(path)
    reader = open_tracecmd(path)
    mine, samples = rows(reader)
    assert Counter(line[3] for line in mine) == Counter(line[3] for line in lines)
    assert mine == lines
    numbers = [int(found[1]) for line in lost if (found := re.search(r"\[(\d+) EVENTS", line))]
    assert reader.losses.count("kernel_lost_events") == sum(numbers)
    assert reader.losses.count("kernel_lost_unknown") == len(lost) - len(numbers)
    assert not {"truncated_bytes", "undecodable_bytes", "undecodable_fields"} & {name for name, _ in reader.losses.counts}
    verdicts = Counter()
    for seq, row in samples.items():
        for name, value in row.items():
            verdict = None if name in OWN_COLUMNS else agrees(fields[seq], name.removesuffix("_field"), value)
            assert verdict is not False, (name, value, fields[seq])
            verdicts[verdict] += 1
    assert verdicts[True] > len(samples) or all(line[3] in TEXT_EVENTS for line in lines)


@needs_traces
def test_the_same_events_in_another_container_are_the_same_rows() -> None:
    by_name = {path.name: path for path in FILES}
    if not {"ext4-v6.dat", "ext4-v7-zlib.dat"} <= set(by_name):
        pytest.skip("ext4-v6.dat and its zlib conversion are not there")
    assert rows(open_tracecmd(by_name["ext4-v6.dat"])) == rows(open_tracecmd(by_name["ext4-v7-zlib.dat"]))


@needs_traces
@pytest.mark.parametrize(
    "path", [path for path in FILES if SLOW or path.name in ("ext4-v7.dat", "ext4-v7-zlib.dat", "lease.dat")], ids=names
)
def test_cut_anywhere_it_is_an_error_or_a_counted_loss(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / path.name
    shutil.copyfile(path, cut)
    cut.chmod(0o600)
    size = path.stat().st_size
    whole = len(rows(open_tracecmd(path))[0])
    places = {size * i // CUTS for i in range(CUTS)} | {size - 1, 0, 1, 9, 10, 12, 16, 17, 25, 29, 40}
    for place in sorted(places, reverse=True):
        os.truncate(cut, place)
        try:
            reader = open_tracecmd(cut)
            count = sum(table.num_rows for batch in reader.batches() for table in batch.tables.values())
        except TraceError as error:
            refusal = str(error)
        else:
            refusal = ""
        # A version 7 file can end with a section that nobody needs: then nothing is lost.
        assert str(cut) in refusal or reader.losses.count("truncated_bytes") > 0 or count == whole, place
