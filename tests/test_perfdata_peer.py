"""Recorded perf.data files: sample for sample what perf script prints of them, and no crash when they are cut.

REPLAY_EXTRA_TRACES names a folder of .perf.data files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from replay.errors import TraceError
from replay.ingest.perfdata import open_perfdata
from replay.ingest.perfforms import RECORDS
from replay.ingest.pipeline import ingest_file
from replay.ingest.records import OWN_COLUMNS
from replay.store import Store
from replay.validate import validate

FOLDER = os.environ.get("REPLAY_EXTRA_TRACES", "")
FILES = {path.name.removesuffix(".perf.data"): path for path in sorted(Path(FOLDER).rglob("*.perf.data"))} if FOLDER else {}
LINE = re.compile(r"^\s*(.*?)\s+(-?\d+)/(-?\d+)\s+(?:\[(\d+)\] +)?(\d+)\.(\d{9}): +(\S+?):?(?: (.*))?$")
CUTS = 200
# Tables of records that are no samples.
SIDE = {name for name, _ in RECORDS.values()}
# perf 6.1 cannot read these: a newer attribute, a newer record, a record of no size. What they hold was counted otherwise.
OURS = {"linuxtracepoints": 539, "sleep-compressed2": 7, "quipper-corrupted-pipe": 0}
Row = dict[str, Any]

needs_traces = pytest.mark.skipif(not FILES, reason="REPLAY_EXTRA_TRACES names no folder with .perf.data files")
needs_perf = pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")


def script(path: Path) -> list[tuple[tuple[int, int, int, int, str], str]]:
    """(pid, tid, cpu, ts, event) and the fields' text of each sample; cpu is -1 where perf cannot tell."""
    for fields in ("comm,pid,tid,cpu,time,event,trace", "comm,pid,tid,time,event,trace", "comm,pid,tid,time,event"):
        shown = subprocess.run(["perf", "script", "-i", str(path), "--ns", "-G", "-F", fields], capture_output=True, check=False)
        if shown.returncode == 0:
            break
    else:
        pytest.skip(f"perf cannot read it: {shown.stderr.decode(errors='replace').strip()[:80]}")
    found = []
    for line in shown.stdout.decode("utf-8", "replace").split("\n"):
        match = LINE.match(line)
        if match:
            _, pid, tid, cpu, seconds, rest, event, text = match.groups()
            found.append(((int(pid), int(tid), -1 if cpu is None else int(cpu), int(seconds + rest), event), f" {text or ''} "))
    return found


def samples(path: Path) -> tuple[list[tuple[int, int, int, int, str]], list[Row]]:
    """The same of our samples in order, and their rows."""
    rows: list[tuple[int, str, Row]] = []
    for batch in open_perfdata(path).batches():
        for (system, event), table in batch.tables.items():
            if system != "perf" or event not in SIDE:
                name = event if system == "perf" else f"{system}:{event}"
                rows += [(row["seq"], name, row) for row in table.to_pylist()]
    rows.sort(key=lambda row: row[0])
    keys = []
    for _, name, row in rows:
        pid, tid = (row.get(f"sample_{key}", row.get(key)) for key in ("pid", "tid"))
        keys.append((pid, tid, row["cpu"], row["ts"], name))
    return keys, [row for *_, row in rows]


def agrees(text: str, name: str, value: object) -> bool | None:
    """Whether the text shows the value; None if it does not show it as a number (the state D of a task is none)."""
    shown = re.search(rf"[ (]{re.escape(name)}=((?:0x)?\w+)[ ,)]", text)
    if shown is None or not isinstance(value, int) or isinstance(value, bool) or not re.search(r"\d", shown[1]):
        return None
    readings = set()
    for base in (0, 10, 16):
        with contextlib.suppress(ValueError):
            readings.add(int(shown[1], base))
    return any((reading - value) % (1 << bits) == 0 for reading in readings for bits in (32, 64)) if readings else None


@needs_traces
@needs_perf
@pytest.mark.parametrize("name", sorted(FILES.keys() - {"hotspot-v1"}))
def test_samples_are_those_of_perf_script(name: str) -> None:
    mine, rows = samples(FILES[name])
    if name in OURS:
        assert len(mine) == OURS[name]
        return
    theirs = script(FILES[name])
    if any(cpu < 0 for (_, _, cpu, *_), _ in theirs):
        mine = [(pid, tid, -1, ts, event) for pid, tid, _, ts, event in mine]
    assert Counter(key[4] for key in mine) == Counter(key[4] for key, _ in theirs)
    assert mine == [key for key, _ in theirs]
    verdicts: Counter[bool | None] = Counter()
    for row, (key, text) in zip(rows[::7], theirs[::7], strict=True):
        for column, value in row.items():
            verdict = None if column in OWN_COLUMNS else agrees(text, column, value)
            assert verdict is not False, (column, value, key, text)
            verdicts[verdict] += 1
    if any("=" in text for _, text in theirs):
        assert verdicts[True] > 0


@pytest.mark.skipif("linuxtracepoints" not in FILES, reason="linuxtracepoints.perf.data is not there")
def test_every_event_is_one_that_another_decoder_found() -> None:
    path = FILES["linuxtracepoints"]
    decoded = json.loads("{" + path.with_name(f"{path.name}.json").read_text("utf-8-sig", "surrogateescape") + "}")
    (events,) = decoded.values()
    moments = [datetime.fromisoformat(f"{event['meta']['time'][:19]}+00:00").timestamp() for event in events]
    theirs = [int(moment) * 10**9 + int(event["meta"]["time"][20:29]) for moment, event in zip(moments, events, strict=True)]
    order = sorted(range(len(events)), key=theirs.__getitem__)
    mine, rows = samples(path)
    assert len(events) == len(mine) == 539
    assert len({theirs[at] - key[3] for at, key in zip(order, mine, strict=True)}) == 1
    for at, (pid, tid, cpu, _, name), row in zip(order, mine, rows, strict=True):
        event = events[at]
        meta = event["meta"]
        assert (meta["pid"], meta["tid"], meta["cpu"]) == (pid % (1 << 32), tid % (1 << 32), cpu)
        if name != "sched:sched_switch":
            assert name.removeprefix("user_events:").startswith(event["n"].partition(":")[0])
            assert event["n"].partition(":")[2].encode() in bytes(row["payload"])
            continue
        for field in event.keys() - {"n", "meta"}:
            value = event[field]
            assert row[field] == (int(value, 16) if isinstance(value, str) and value.startswith("0x") else value)


@needs_traces
def test_what_is_lost_or_damaged_is_said() -> None:
    expected = {"quipper-corrupted-pipe": {"undecodable_bytes": 11536}, "quipper-lost-samples": {"kernel_lost_samples": 2}}
    for name, losses in expected.items():
        if name in FILES:
            reader = open_perfdata(FILES[name])
            assert sum(table.num_rows for batch in reader.batches() for table in batch.tables.values()) > 0
            assert {counter: count for (counter, _), count in reader.losses.counts.items() if count} == losses
    if "hotspot-v1" in FILES:
        with pytest.raises(TraceError, match="version 1 is not supported"):
            open_perfdata(FILES["hotspot-v1"])


@needs_traces
@pytest.mark.parametrize("name", [name for name in ("ext4", "ext4-z") if name in FILES])
def test_the_replay_finds_the_writebacks_that_the_kernel_saw_pinned(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    entry = ingest_file(store, str(FILES[name])).entry
    row = validate(store, [entry]).table.to_pylist()[0]
    assert row["kind"] == "pinned writebacks"
    assert row["precision"] >= 0.995
    assert row["recall"] >= 0.995


@needs_traces
@pytest.mark.parametrize("name", [name for name in ("callgraph", "perfparser-zstd-tracepoint", "linuxtracepoints-pipe") if name in FILES])
def test_cut_anywhere_it_is_an_error_or_a_counted_loss(name: str, tmp_path: Path) -> None:
    cut = tmp_path / "cut.perf.data"
    shutil.copyfile(FILES[name], cut)
    cut.chmod(0o600)
    size = cut.stat().st_size
    refusals = 0
    for place in sorted({size * i // CUTS for i in range(CUTS)} | {0, 1, 7, 8, 15, 16, 103, 104}, reverse=True):
        os.truncate(cut, place)
        try:
            reader = open_perfdata(cut)
            for batch in reader.batches():
                for table in batch.tables.values():
                    table.validate(full=True)
        except TraceError:
            refusals += 1
            continue
        assert reader.file.pipe or reader.losses.count("truncated_bytes") > 0, place
    assert refusals >= 8
