"""A recording from the first probe to the last, on a tracefs that is a folder: what is set up, what is kept, what is cleaned up when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import tracefs

from replay.dynamicevents import BusyError, DynamicEvents
from replay.errors import ReplayError
from replay.procfs import memory_regions
from replay.statefile import read_state

SAMPLES = Path(__file__).parent.parent / "sample_traces"
SYMBOLS = ("mmap_region", "pin_user_pages_fast", "ib_umem_get", "ib_umem_release")
TRACEPOINTS = ("filemap:mm_filemap_add_to_page_cache", "task:task_newtask")
MADE = ("mmap_region", "pin_user_pages_fast", "pin_user_pages_fast_ret", "ib_umem_get", "ib_umem_get_ret", "ib_umem_release")
PATIENCE_SECONDS = 120  # on a machine that is busy with other things
OTHERS = "p:gup/ib_umem_get ib_umem_get\n"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tracefs.make(tmp_path, SYMBOLS, TRACEPOINTS, SAMPLES / "lives.dat", probes=OTHERS)
    return tmp_path


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, tracefs.__file__, str(root), *arguments]
        process = subprocess.Popen(
            command, cwd=root, env=tracefs.environment(root, more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def record(start: Callable[..., subprocess.Popen[str]]) -> Run:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **more)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run


def probes(root: Path) -> list[str]:
    return [line.split()[0].partition(":")[2] for line in (root / "tracing" / "dynamic_events").read_text().splitlines()]


def wait_for(there: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not there():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_workload_is_recorded_and_nothing_stays(root: Path, record: Run) -> None:
    done = record("-o", "out.dat", "--", "sh", "-c", "sleep 0.3; echo worked > worked")
    assert done.returncode == 0, done.stderr
    assert (root / "worked").exists()
    assert (root / "out.dat").read_bytes() == (SAMPLES / "lives.dat").read_bytes()
    assert [line.split()[0].partition("/")[2] for line in (root / "probes-then").read_text().splitlines()[1:]] == list(MADE)
    assert (root / "events-asked").read_text().split() == ["replay", *TRACEPOINTS]
    assert probes(root) == ["gup/ib_umem_get"]
    assert "not recorded: replay:pin_user_pages: there is no function" in done.stderr
    assert "out.dat: 48.8 KiB" in done.stderr
    assert "6 probes, 2 tracepoints" in done.stderr
    assert done.stderr.endswith("next: replay ingest out.dat\n")
    state = read_state(str(root / "out.dat"))
    assert state is not None
    assert state.recorder == "trace-cmd"
    assert state.uname == "Linux lab 6.1.0-test x86_64"
    assert [region["ifname"] for region in state.regions or ()] == ["rxe0"]
    assert (root / "out.dat.state").stat().st_mode & 0o777 == 0o600
    assert any(line.split()[4] == "/" for line in state.mountinfo.splitlines())


def test_who_calls_sudo_owns_the_recording(root: Path, record: Run) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    record("-o", "out.dat", "--", "true", SUDO_UID="65534", SUDO_GID="65534")
    assert {(root / name).stat().st_uid for name in ("out.dat", "out.dat.state")} == {65534}


@pytest.mark.parametrize(
    ("says", "regions"),
    [
        ('echo \'[{"mrn":1,"rkey":"b0f","lkey":"b0f","pid":7},3]\'', [{"mrn": 1, "pid": 7}]),
        ("true", []),
        ("echo '{}'", None),
        ("echo '['", None),
        ("exit 1", None),
    ],
)
def test_the_inventory_of_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, regions: object) -> None:
    """Without the keys, which would let others write into the regions; None where rdma cannot tell."""
    program = tmp_path / "rdma"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert memory_regions() == regions


def test_processes_that_share_files_are_kept_with_all(root: Path, record: Run) -> None:
    """Not of our own making on every machine, so that one is started here."""
    shared = root / "shared"
    shared.write_bytes(bytes(8192))
    holder = (
        f"import mmap, time; file = open({str(shared)!r}, 'r+b'); held = mmap.mmap(file.fileno(), 0); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        record("-o", "all.dat", "-a", "-d", "0.3")
        record("-o", "one.dat", "-p", str(process.pid), "-d", "0.3")
        record("-o", "none.dat", "--", "true")
        process.kill()
    kept = {}
    for name in ("all", "one", "none"):
        state = read_state(str(root / f"{name}.dat"))
        assert state is not None
        kept[name] = {process.pid for process in state.processes}
    if os.stat(shared).st_dev >> 8:
        assert process.pid in kept["all"]
    assert process.pid in kept["one"]
    assert process.pid not in kept["none"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_recording_and_keeps_it(root: Path, start: Callable[..., subprocess.Popen[str]], number: int) -> None:
    process = start("-a", "-o", "out.dat")
    wait_for((root / "recording").exists)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + number, err
    assert probes(root) == ["gup/ib_umem_get"]
    assert (root / "out.dat").exists()
    assert read_state(str(root / "out.dat")) is not None


def test_what_a_killed_recording_left_the_next_one_removes(root: Path, start: Callable[..., subprocess.Popen[str]], record: Run) -> None:
    process = start("-a", "-o", "out.dat")
    wait_for((root / "recording").exists)
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert probes(root) == ["gup/ib_umem_get", *(f"replay/{name}" for name in MADE)]
    wait_for((root / "out.dat").exists)  # the recorder got an interrupt when we were killed
    done = record("--", "true")
    assert f"removed {len(MADE)} probes" in done.stderr
    assert done.returncode == 0
    assert probes(root) == ["gup/ib_umem_get"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"FAIL": "3"}, "trace-cmd ended with status 3"),
        ({"DIE": "KILL"}, "trace-cmd was killed by signal 9"),
        ({"EMPTY": "1"}, "trace-cmd ended with status 0"),
    ],
)
def test_a_recorder_that_fails_leaves_no_probe_and_no_event(root: Path, record: Run, more: dict[str, str], said: str) -> None:
    for name in TRACEPOINTS:
        (root / "tracing" / "events" / name.replace(":", "/") / "enable").write_text("1")
    done = record("-o", "out.dat", "--", "true", **more)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert probes(root) == ["gup/ib_umem_get"]
    assert not (root / "out.dat.state").exists()
    if "DIE" in more:
        assert {(root / "tracing" / "events" / name.replace(":", "/") / "enable").read_text() for name in TRACEPOINTS} == {"0"}


def test_a_probe_that_the_kernel_refuses_costs_only_itself(root: Path, record: Run) -> None:
    done = record("--", "true", REFUSE="replay/ib_umem_get")
    assert done.returncode == 0
    assert "not recorded: replay:ib_umem_get: the kernel refused it: bad argument; no memory regions" in done.stderr
    assert "replay/mmap_region" in (root / "probes-then").read_text()


def test_lost_events_are_told_with_advice(root: Path, record: Run) -> None:
    trace = os.environ.get("REPLAY_EXTRA_TRACES")
    if not trace:
        pytest.skip("REPLAY_EXTRA_TRACES is not set")
    program = root / "bin" / "trace-cmd"
    program.write_text(program.read_text().replace(str(SAMPLES / "lives.dat"), str(Path(trace) / "lost-events.dat")))
    done = record("--", "true")
    assert "the kernel lost 2,484 events: record again with larger buffers (-b 32768)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "more", "said", "status"),
    [
        (["--", "no-such-program"], {}, "there is no command no-such-program", 2),
        ([], {}, "nothing to record", 2),
        (["-d", "1", "--", "true"], {}, "-d is for -a and -p", 2),
        (["-p", "1", "--", "true"], {}, "exclude each other", 2),
        (["--recorder", "strace", "--", "true"], {}, "cannot record with strace", 2),
        (["--", "true"], {"REPLAY_TEST_EUID": "1000"}, "recording takes root", 1),
        (["--", "true"], {"PATH": "/nonexistent"}, "there is no command true", 2),
        (["-a", "-d", "1"], {"PATH": "/nonexistent"}, "neither trace-cmd nor perf (Debian: apt install trace-cmd, or linux-perf)", 1),
    ],
)
def test_refusals_are_one_line(record: Run, arguments: list[str], more: dict[str, str], said: str, status: int) -> None:
    done = record(*arguments, **more)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == status


def test_what_is_only_printed_may_name_a_program_of_another_machine(record: Run) -> None:
    done = record("--dry-run", "--", "no-such-program")
    assert done.returncode == 0
    assert "no-such-program" in done.stdout


def test_one_recording_at_a_time(root: Path) -> None:
    events = DynamicEvents(root / "tracing")
    with events.locked(), pytest.raises(BusyError, match="another replay record is running"), DynamicEvents(root / "tracing").locked():
        pass
    with events.locked():
        pass


def test_a_probe_that_is_held_is_told(root: Path, record: Run) -> None:
    (root / "tracing" / "dynamic_events").write_text("p:replay/mmap_region mmap_region\n")
    done = record("--", "true", BUSY="1")
    assert done.returncode == 1
    assert "probe replay/mmap_region cannot be removed: device or resource busy" in done.stderr


def test_the_kernel_says_why_it_refuses(root: Path) -> None:
    """Of a refused line, what error_log says of it last."""
    events = DynamicEvents(root / "tracing")
    log = "[1.2] trace_kprobe: error: Old\n  Command: x\n[2.3] trace_kprobe: error: Unknown symbol\n  Command: y\n"
    (root / "tracing" / "error_log").write_text(log)
    assert events._reason() == "Unknown symbol"
    (root / "tracing" / "error_log").unlink()
    assert events._reason() == "invalid argument"


def test_recording_needs_tracefs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from replay import kernel

    monkeypatch.setattr(kernel, "TRACING", tmp_path / "a")
    monkeypatch.setattr(kernel, "_OLDER_TRACING", tmp_path / "b")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ReplayError, match=r"tracefs is not mounted .*mount -t tracefs"):
        kernel.find_tracing()


def test_nothing_heavy_is_imported_to_record() -> None:
    heavy = {"numpy", "pyarrow", "duckdb", "polars"}
    code = f"import sys, replay.cli, replay.record; print({{name.split('.')[0] for name in sys.modules}} & {heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
