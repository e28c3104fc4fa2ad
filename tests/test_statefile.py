"""The state of the system beside a trace: written and read, hostile, and what ingest makes of it."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from builders.raw import BASE, DEV, added, lower, mmap, pinned, rows
from hypothesis import given
from hypothesis import strategies as st

from replay.errors import TraceError
from replay.ingest.many import find_traces
from replay.ingest.pipeline import IngestSummary, ingest_file
from replay.statefile import Process, Range, SystemState, read_state, write_state
from replay.store import Store

SAMPLES = Path(__file__).parent.parent / "sample_traces"
FILE = "254:16:13"
MAPS = f"""\
55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0                          [heap]
{BASE:x}-{BASE + 8 * 4096:x} rw-s 00003000 fe:10 13                         /data/with space
{BASE + 8 * 4096:x}-{BASE + 10 * 4096:x} r--p 00000000 fe:10 14                         /lib/x.so
{BASE + 16 * 4096:x}-{BASE + 18 * 4096:x} rw-s 00000000 00:01 1027                       /dev/zero (deleted)
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""
MOUNTS = """\
21 1 254:16 / /data rw,relatime shared:1 - ext4 /dev/vdb rw
22 1 259:0 / /dax rw,relatime - ext4 /dev/pmem0 rw,dax=always
23 1 259:1 / /both rw master:2 - xfs /dev/pmem1 rw,dax=inode
"""


def state(maps: str = MAPS, **more: Any) -> SystemState:
    return SystemState(uname="Linux lab 6.1.0 x86_64", processes=[Process(10, "app", (10, 11), maps)], mountinfo=MOUNTS, **more)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return Path(shutil.copy(SAMPLES / "lives.dat", tmp_path / "lives.dat"))


def written(trace: Path, state: SystemState) -> SystemState:
    write_state(f"{trace}.state", state)
    found = read_state(str(trace))
    assert found is not None
    return found


def ingested(tmp_path: Path, trace: Path) -> IngestSummary:
    return ingest_file(Store(tmp_path / "store", create=True), str(trace))


def losses(summary: IngestSummary) -> dict[str, int]:
    return {row["counter"]: row["count"] for row in summary.found["losses"]}


def test_what_is_written_is_read(trace: Path) -> None:
    found = written(trace, state(regions=[{"mrn": 1, "pid": 10}, {"mrn": 2}], skipped=3, recorder="trace-cmd"))
    assert (found.uname, found.recorder, found.skipped, found.cut) == ("Linux lab 6.1.0 x86_64", "trace-cmd", 3, 0)
    assert found.processes == [Process(10, "app", [10, 11], MAPS)]
    assert found.regions == [{"mrn": 1, "pid": 10}, {"mrn": 2}]
    assert found.ranges[10][1:3] == [
        Range(BASE, BASE + 8 * 4096, 3, DEV, 13, True),
        Range(BASE + 8 * 4096, BASE + 10 * 4096, 0, DEV, 14, False),
    ]
    assert found.dax_devices() == {259 << 20}
    assert written(trace, state()).regions is None
    assert read_state(f"{trace}.not") is None


def test_pins_through_mappings_of_before_are_resolved() -> None:
    before = read_back(state())
    records = [added(1, 0), *pinned(11, BASE + 4096, 2), *pinned(10, BASE + 7 * 4096, 2, flags=0), *pinned(10, BASE + 100 * 4096, 1)]
    canonical, counters = lower(records, before=before)
    assert rows(canonical, "pins", "tgid", "file", "index", "npages", "id_source", "id_confidence") == [
        (10, FILE, 4, 2, "mapping", 0.9),
        (10, FILE, 10, 1, "mapping", 0.9),
        (10, "254:16:14", 0, 1, "mapping", 0.9),
        (10, None, None, 1, "anonymous", 0.6),  # brk or a stack that has grown since
    ]
    assert counters == {}
    assert sorted(rows(canonical, "files", "file")) == [(FILE,), ("254:16:14",)]
    assert dict(rows(canonical, "tasks", "tid", "comm"))[10] == "app"
    _, counters = lower(records)
    assert counters == {"pins_unresolved": 3}


def test_files_that_were_mapped_before_and_nothing_is_about_are_not_listed() -> None:
    canonical, _ = lower([added(1, 0), *pinned(10, BASE, 1)], before=read_back(state()))
    assert rows(canonical, "files", "file") == [(FILE,)]


def test_shared_memory_of_before_is_no_file() -> None:
    canonical, counters = lower([added(1, 0), *pinned(10, BASE + 16 * 4096, 1)], before=read_back(state()))
    assert rows(canonical, "pins", "file", "id_source")[0][0] is None
    assert counters == {}


def test_what_the_trace_tells_replaces_what_was_before() -> None:
    before = read_back(state())
    later = [added(1, 0), mmap(10, BASE + 4096, 1, pgoff=77), *pinned(10, BASE, 3)]
    assert rows(lower(later, before=before)[0], "pins", "index", "npages") == [(3, 1), (77, 1), (5, 1)]
    gone = [added(1, 0), ("sys_enter_munmap", 10, {"addr": BASE, "len": 4096}), *pinned(10, BASE, 2)]
    assert rows(lower(gone, before=before)[0], "pins", "file", "npages") == [(None, 1), (FILE, 1)]
    execed = [added(1, 0), ("sched_process_exec", 10, {"old_pid": 10}), *pinned(10, BASE, 1)]
    assert rows(lower(execed, before=before)[0], "pins", "file") == [(None,)]
    child = [added(1, 0), ("task_newtask", 10, {"pid": 12, "clone_flags": 0x1200000}), *pinned(12, BASE, 1)]
    assert rows(lower(child, before=before)[0], "pins", "file", "index") == [(FILE, 3)]


def test_files_on_a_dax_mount_are_direct() -> None:
    before = read_back(SystemState(mountinfo=MOUNTS))
    canonical, _ = lower([added(1, 0), added(1, 0, dev=259 << 20)], before=before)
    assert rows(canonical, "files", "file", "dax") == [(FILE, False), ("259:0:13", True)]


def test_the_trace_id_depends_on_the_state(tmp_path: Path, trace: Path) -> None:
    alone = ingested(tmp_path, trace)
    written(trace, state())
    beside = ingested(tmp_path, trace)
    assert beside.trace != alone.trace
    assert not beside.already
    assert ingested(tmp_path, trace).already
    written(trace, state(regions=[]))
    assert not ingested(tmp_path, trace).already
    assert "state_incomplete" not in losses(beside)


def test_regions_of_before_are_counted(tmp_path: Path, trace: Path) -> None:
    """The kernel's own, which have no process, hold no file's pages."""
    written(trace, state(regions=[{"mrn": 1, "pid": 10}, {"mrn": 2, "pid": 10}, {"mrn": 3, "comm": "[ib_core]"}]))
    assert losses(ingested(tmp_path, trace))["mrs_before_recording"] == 2


def test_a_recording_of_a_running_process_needs_its_state(tmp_path: Path) -> None:
    """Recorded with replay record -a while a process that had mapped and registered its file before registered it again."""
    recording = Path(shutil.copy(SAMPLES / "record-running.dat", tmp_path))
    assert losses(ingested(tmp_path, recording)) == {"mr_release_without_reg": 2, "pins_unresolved": 2}
    shutil.copy(SAMPLES / "record-running.dat.state", tmp_path)
    assert losses(ingested(tmp_path, recording)) == {"mr_release_without_reg": 2, "mrs_before_recording": 2}


def test_a_state_that_was_cut_is_used_as_far_as_it_goes(tmp_path: Path, trace: Path) -> None:
    written(trace, state())
    path = Path(f"{trace}.state")
    path.write_bytes(path.read_bytes()[:-20])
    found = read_state(str(trace))
    assert found is not None
    assert (found.cut, found.processes, found.mountinfo) == (1, [], MOUNTS)
    assert losses(ingested(tmp_path, trace))["state_incomplete"] == 1
    path.write_bytes(b"")
    assert read_state(str(trace)) == SystemState()


HEAD = '{"replay_state":1,"uname":"","mrs_known":true}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}\n", "byte 0: expected the state of version 1"),
        ('{"replay_state":2}\n', "byte 0: expected the state of version 1"),
        ("\xff\n", "byte 0: expected a JSON object"),
        ("[1]\n", "byte 0: expected a JSON object"),
        ("[" * 100000 + "\n", "byte 0: expected a JSON object"),
        (HEAD + "nonsense\n", f"byte {len(HEAD)}: expected a JSON object"),
        (HEAD + '{"pid":"1"}\n', "expected a number as pid"),
        (HEAD + '{"pid":-1}\n', "expected a number as pid"),
        (HEAD + '{"pid":true}\n', "expected a number as pid"),
        (HEAD + '{"pid":99999999999}\n', "expected a number as pid"),
        (HEAD + '{"pid":1,"threads":3}\n', "expected a list of threads"),
        (HEAD + '{"pid":1,"threads":[null]}\n', "expected a number as a thread"),
        (HEAD + '{"pid":1,"comm":7}\n', "expected text as comm"),
        (HEAD + '{"pid":1,"maps":["x"]}\n', "expected text as maps"),
        (HEAD + '{"pid":1,"maps":"1-2 rw-s zz"}\n', "line 1 of the mappings of process 1 is none: '1-2 rw-s zz'"),
        (HEAD + '{"pid":1,"maps":"2000-1000 rw-s 0 fe:10 1"}\n', "is not behind the one before it"),
        (
            HEAD + '{"pid":1,"maps":"1000-3000 rw-s 0 fe:10 1\\n2000-4000 rw-s 0 fe:10 1"}\n',
            "line 2 of the mappings of process 1 is not behind",
        ),
        (HEAD + '{"mr":[]}\n', "expected an object that tells a memory region"),
        (HEAD + '{"mountinfo":1}\n', "expected text as mountinfo"),
    ],
)
def test_a_bad_line_is_one_error_with_its_place(tmp_path: Path, trace: Path, text: str, said: str) -> None:
    Path(f"{trace}.state").write_text(text, encoding="latin-1")
    with pytest.raises(TraceError) as caught:
        ingested(tmp_path, trace)
    assert str(caught.value).startswith(f"{trace}.state: byte ")
    assert said in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_too_large_a_state_is_refused(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.statefile.MOST_BYTES", 100)
    with pytest.raises(TraceError, match="a state of so many bytes"):
        written(trace, state())
    monkeypatch.undo()
    monkeypatch.setattr("replay.statefile._MOST_RANGES", 3)
    with pytest.raises(TraceError, match="more than 3 mappings"):
        written(trace, state())


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damage_is_an_error_or_a_state(tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int) -> None:
    trace = tmp_path_factory.mktemp("damage") / "x"
    write_state(f"{trace}.state", state())
    path = Path(f"{trace}.state")
    data = path.read_bytes()
    path.write_bytes(data[:place] + junk + data[place + len(junk) :])
    with suppress(TraceError):
        assert read_state(str(trace)) is not None


def test_a_state_is_no_trace_of_its_own(trace: Path) -> None:
    write_state(f"{trace}.state", state())
    found = find_traces([str(trace.parent)])
    assert (found.traces, found.refused, found.others) == ((str(trace),), (), 0)
    with pytest.raises(TraceError, match="the state beside a trace"):
        ingest_file(Store(trace.parent / "store", create=True), f"{trace}.state")


def test_records_that_are_not_known_are_left_alone(trace: Path) -> None:
    write_state(f"{trace}.state", state())
    with Path(f"{trace}.state").open("a") as file:
        file.write(json.dumps({"news": 1}) + "\n")
    found = read_state(str(trace))
    assert found is not None
    assert len(found.processes) == 1


def read_back(state: SystemState) -> SystemState:
    """As ingest reads it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder) / "x", state)


def test_names_of_files_and_processes_may_hold_any_byte(trace: Path) -> None:
    odd = f"{BASE:x}-{BASE + 4096:x} rw-s 00000000 fe:10 {(1 << 64) - 1} /data/a\x0bb\x85c\u2028d\udcff\n"
    before = SystemState(uname="Linux \udcff", processes=[Process(10, "a\udcffb", (10,), odd)])
    found = written(trace, before)
    assert [process.comm for process in found.processes] == ["a?b"]
    assert found.ranges[10] == [Range(BASE, BASE + 4096, 0, DEV, (1 << 64) - 1, True)]


def test_an_inode_of_more_than_64_bits_is_refused(trace: Path) -> None:
    with pytest.raises(TraceError, match="line 1 of the mappings of process 10 has an inode of more than 64 bits"):
        written(trace, state(f"{BASE:x}-{BASE + 4096:x} rw-s 00000000 fe:10 {1 << 64} /x\n"))
