"""The store: whole or absent, whatever happens to the writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from builders.stores import TRACE, add_run, add_trace

from replay.errors import StoreError, UsageError
from replay.store import Store, content_id

ROW = {"row": {"trace": TRACE, "source": "a.dat"}}


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_commit_makes_visible_and_nothing_before(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    with store.stage("traces", TRACE) as stage:
        (stage.path / "events.parquet").write_bytes(b"x")
        assert store.traces() == []
        assert stage.commit(ROW)
    assert [entry.id for entry in store.traces()] == [TRACE]
    place = f"traces/trace={TRACE}"
    assert tree(store.path) == sorted(["store.json", *(f"{place}/{name}" for name in ("events.parquet", "manifest.json", "trace.parquet"))])


def fail(store: Store, kind: Literal["traces", "runs"]) -> None:
    with store.stage(kind, TRACE) as stage:
        (stage.path / "events.parquet").write_bytes(b"x")
        raise RuntimeError


def test_error_of_the_disk_that_only_an_early_sync_is_told_stops_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store", create=True)
    told: list[Path] = []

    def fsync_once(path: Path) -> None:
        told.append(path)
        if len(told) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("replay.staging.fsync_path", fsync_once)
    with store.stage("traces", TRACE) as stage:
        (stage.path / "events.parquet").write_bytes(b"x")
        stage.syncing.add(stage.path / "events.parquet")
        with pytest.raises(OSError, match="Input/output"):
            stage.commit(ROW)
    assert told == [stage.path / "events.parquet"]
    assert store.traces() == []


def test_failed_first_stage_leaves_no_store_behind(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    with pytest.raises(RuntimeError):
        fail(store, "traces")
    assert not store.path.exists()


def test_failed_stage_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    add_trace(store)
    before = tree(store.path)
    with pytest.raises(RuntimeError):
        fail(store, "runs")
    assert tree(store.path) == before


def test_second_commit_of_the_same_content_is_refused_quietly(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    with store.stage("traces", TRACE) as first, store.stage("traces", TRACE) as second:
        assert first.commit(ROW)
        assert not second.commit(ROW)
    assert len(store.traces()) == 1
    assert os.listdir(store.path / ".staging") == []


def test_folder_without_manifest_is_no_entry_and_no_obstacle(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    broken = store.path / "traces" / f"trace={TRACE}"
    broken.mkdir(parents=True)
    (broken / "events.parquet").write_bytes(b"half")
    (store.path / "store.json").write_text('{"version": 2}')
    assert store.traces() == []
    add_trace(store)
    assert [entry.id for entry in store.traces()] == [TRACE]
    with store.stage("runs", "r1"):
        pass
    assert os.listdir(store.path / ".staging") == []


WRITER = """
import os, sys
from replay.store import Store
with Store(sys.argv[1], create=True).stage("traces", "t1") as stage:
    (stage.path / "events.parquet").write_bytes(b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def writer(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_writer_leaves_nothing_visible_and_the_next_cleans_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    add_trace(store)
    with writer(store.path) as process:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert [entry.id for entry in store.traces()] == [TRACE]
    assert len(os.listdir(store.path / ".staging")) == 2
    with store.stage("runs", "r1"):
        assert len([name for name in os.listdir(store.path / ".staging") if "t1" in name]) == 0


def test_live_writer_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    with writer(store.path) as process:
        with store.stage("runs", "r1"):
            assert len([name for name in os.listdir(store.path / ".staging") if name.startswith("t1-")]) == 2
        process.communicate("")
    assert process.returncode == 0


def test_killed_first_writer_leaves_a_folder_that_counts_as_empty(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with writer(folder) as process:
        process.kill()
        process.communicate()
    with pytest.raises(StoreError, match="this store is empty"):
        Store(folder)
    add_trace(Store(folder, create=True))
    assert len(Store(folder).traces()) == 1


def test_missing_store_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        Store(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for create in (False, True):
        with pytest.raises(StoreError, match="not a store"):
            Store(tmp_path, create=create)
    with pytest.raises(StoreError, match="this is a file"):
        Store(tmp_path / "letter.txt")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('{"version": 3}', "format version 3"),
        ('{"version": 1}', "format version 1"),
        ("{}", "no format version"),
        ("half", "no format version"),
        ('{"version": true}', "no format version"),
        ('{"version": 0}', "no format version"),
        ("[" * 100_000, "no format version"),
    ],
)
def test_future_and_damaged_markers_are_refused(tmp_path: Path, marker: str, message: str) -> None:
    (tmp_path / "store.json").write_text(marker)
    with pytest.raises(StoreError, match=message):
        Store(tmp_path, create=True)
    assert os.listdir(tmp_path) == ["store.json"]


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"row": 5}', '{"row": {}}', "[" * 100_000, "\xff"])
def test_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path / "store", create=True)
    (add_trace(store).path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=r"manifest\.json: damaged"):
        store.traces()


def test_traces_are_found_by_id_beginning_and_source(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    first, second = add_trace(store, "t11aaaaaaaaaa", "one.dat"), add_trace(store, "t12bbbbbbbbbb", "two.dat")
    assert [store.resolve_trace(name).id for name in ("t11aaaaaaaaaa", "t11", "one.dat", "some/where/one.dat")] == [first.id] * 4
    assert store.resolve_trace("t12") == second
    with pytest.raises(UsageError, match="ambiguous"):
        store.resolve_trace("t1")
    with pytest.raises(UsageError, match=r"did you mean two\.dat\?"):
        store.resolve_trace("tow.dat")
    add_trace(store, "t13cccccccccc", "two.dat")
    with pytest.raises(UsageError, match="ambiguous"):
        store.resolve_trace("two.dat")


def test_ids_are_never_numbers_and_parts_do_not_run_together() -> None:
    assert content_id("traces", "ab", "c") != content_id("traces", "a", "bc")
    run = content_id("runs", b"x")
    assert run[0] == "r"
    assert len(run) == 13
    assert run == content_id("runs", b"x")


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name, create=True) for name in ("a", "b")]
    for store in stores:
        add_trace(store, tables={"tasks": [{"tid": 1, "comm": "app", "kthread": False, "events": 7}]})
        add_run(store, "r1", "none", tables={"costs": [{"metric": "bounce_bytes", "unit": "bytes", "value": 4096.0}]})
    first, second = ({name: (store.path / name).read_bytes() for name in tree(store.path)} for store in stores)
    assert first == second
    assert json.loads(first["store.json"])["version"] == 2
