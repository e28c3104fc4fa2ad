"""Ingest of directories and of many files: which files are taken, in which order, and what one does to the others."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from builders.deadly import ingest_or_die

from replay.ingest import many
from replay.ingest.many import find_traces, ingest_many
from replay.store import Store

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "tests" / "examples").glob("*.jsonl"))
SAMPLE = ROOT / "sample_traces" / "rdma-ext4.dat"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Traces and other files, with names that tell nothing."""
    folder = tmp_path / "traces"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / "a").mkdir()
    shutil.copyfile(SAMPLE, folder / "z")
    shutil.copyfile(EXAMPLES[0], folder / "b" / "deep" / "notes.txt")
    shutil.copyfile(EXAMPLES[1], folder / "b" / "more.json")
    (folder / "a" / "settings.json").write_text('{\n "op": 1\n}\n')
    (folder / "a" / "other.json").write_text('{"name": "op"}\n')
    (folder / "a" / "README").write_text("hello\n")
    (folder / "a" / "empty.dat").touch()
    (folder / "a" / "packed.gz").write_bytes(b"\x1f\x8b")
    return folder


def test_a_directory_stands_for_the_traces_below_it_in_order_of_name(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder)
    found = find_traces([str(EXAMPLES[2]), str(folder), "absent"])
    assert found.traces == (
        str(EXAMPLES[2]),
        str(folder / "z"),
        str(folder / "b" / "more.json"),
        str(folder / "b" / "deep" / "notes.txt"),
        "absent",
    )
    assert (found.others, found.refused) == (5, ())


def test_a_store_inside_of_a_directory_is_left_out(folder: Path) -> None:
    list(ingest_many(Store(folder / "store", create=True), [str(EXAMPLES[0])]))
    before = find_traces([str(folder)])
    assert all("store" not in Path(path).parts for path in before.traces)
    assert before.others == 5


def test_a_directory_without_a_trace_is_refused(folder: Path) -> None:
    found = find_traces([str(folder / "a"), str(folder / "b")])
    assert [str(error) for error in found.refused] == [f"{folder / 'a'}: no trace in this directory (5 other files)"]
    assert len(found.traces) == 2


@pytest.mark.parametrize("processes", [1, 3])
def test_each_file_is_committed_by_itself_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    monkeypatch.setattr(many, "_processes", lambda *_: processes)
    cut = folder / "cut.dat"
    cut.write_bytes(SAMPLE.read_bytes()[:300])
    paths = [str(path) for path in (SAMPLE, cut, EXAMPLES[0], folder / "z", folder / "absent", EXAMPLES[1])]
    store = Store(folder / "store", create=True)
    outcomes = list(ingest_many(store, paths))
    assert [outcome.path for outcome in outcomes] == paths
    assert [outcome.summary and outcome.summary.already for outcome in outcomes] == [False, None, False, True, None, False]
    assert [bool(outcome.refusal) for outcome in outcomes] == [False, True, False, False, True, False]
    assert outcomes[1].refusal.startswith(f"{cut}: byte ")
    assert sorted(entry.row["source"] for entry in store.traces()) == sorted([SAMPLE.name, EXAMPLES[0].name, EXAMPLES[1].name])
    again = list(ingest_many(store, paths))
    assert [outcome.summary and outcome.summary.already for outcome in again] == [True, None, True, True, None, True]


def test_a_process_that_is_killed_costs_its_own_file_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = folder / "deadly"
    deadly.write_bytes(SAMPLE.read_bytes())
    monkeypatch.setattr(many, "_ingest", ingest_or_die)
    paths = [str(EXAMPLES[0]), str(deadly), str(EXAMPLES[1])]
    outcomes = list(many._outcomes(Store(folder / "store", create=True), paths, 2))
    assert [outcome.summary is not None for outcome in outcomes] == [True, False, True]
    assert "killed" in outcomes[1].refusal


def test_processes_are_bounded_by_cpus_memory_files_and_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(many, "_available_bytes", lambda: 4 << 30)
    mib = 1 << 20
    assert many._processes(3, [20 * mib] * 3) == 2  # 256 MiB + 64 * 20 MiB each
    assert many._processes(3, [8 * mib] * 3) == 3
    assert many._processes(100, [8 * mib] * 100) == 5
    assert many._processes(100, [mib // 10] * 100) == 2
    assert many._processes(100, [mib] * 100) == 8
    assert many._processes(2, [1, 1]) == 1
    assert many._processes(2, [1 << 40] * 2) == 1


def test_the_manifest_does_not_depend_on_the_number_of_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = []
    for processes in (1, 2):
        monkeypatch.setattr(many, "_processes", lambda *_, count=processes: count)
        store = Store(folder / f"store{processes}", create=True)
        shutil.copyfile(EXAMPLES[0], folder / "copy")
        list(ingest_many(store, [str(folder / "copy"), str(EXAMPLES[0]), str(EXAMPLES[1])]))
        stores.append([json.dumps(dict(entry.manifest), sort_keys=True) for entry in store.traces()])
    assert stores[0] == stores[1]


def test_who_stops_asking_stops_the_work(tmp_path: Path) -> None:
    paths = []
    for number in range(60):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_text(json.dumps({"ts": number, "op": "dirty", "file": "f", "index": 0, "npages": 1}) + "\n")
    store = Store(tmp_path / "store", create=True)
    outcomes = ingest_many(store, [str(path) for path in paths], processes=2)
    next(outcomes)
    outcomes.close()  # as an interrupt does
    assert len(store.traces()) < len(paths)
    list(ingest_many(store, [str(path) for path in paths]))
    assert len(store.traces()) == len(paths)
    assert not list((store.path / ".staging").iterdir())
