"""Sweeps: every point is the run that it says it is, and what follows from a number follows in the right direction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.stores import answer

from replay import runs
from replay.archive import Archive
from replay.cli import main
from replay.commands import RunRequest, sweep
from replay.errors import ReplayError, UsageError
from replay.ingest.pipeline import ingest_file
from replay.store import Store

SAMPLES = Path(__file__).parent.parent / "sample_traces"
GRID = ("lease.app=1ms..100s:6", "lease.break_time=50ms,5s")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("sweep") / "store", create=True)
    for name in ("rdma-ext4.dat", "lease-dax.dat"):
        ingest_file(store, SAMPLES / name)
    return store


def swept(
    store: Store, path: Path, *params: str, policies: tuple[str, ...] = ("lease",), traces: tuple[str, ...] = (), jobs: int | None = None
) -> list[dict[str, Any]]:
    """The table of a sweep, through the file that the command writes."""
    sweep(RunRequest(str(store.path), policies, params, jobs=jobs), traces, "json", str(path))
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def test_each_point_is_the_run_that_replay_run_makes(store: Store, tmp_path: Path) -> None:
    rows = swept(store, tmp_path / "x.json", *GRID)
    assert [(row["source"], row["lease.app_ns"], row["lease.break_time_ns"]) for row in rows] == [
        (source, app, time)
        for source in ("lease-dax.dat", "rdma-ext4.dat")
        for app in (10**6, 10**7, 10**8, 10**9, 10**10, 10**11)
        for time in (50_000_000, 5_000_000_000)
    ]
    for row in rows[::5]:
        params = {"lease.app": f"{row['lease.app_ns']}ns", "lease.break_time": f"{row['lease.break_time_ns']}ns"}
        (single,) = runs.run(store, store.resolve_trace(row["source"]).id, ["lease"], params)
        assert (single.run, single.already) == (row["run"], True)
        stalls = pq.read_table(single.entry.table("stalls")).to_pylist()
        costs = {cost["metric"]: cost["value"] for cost in pq.read_table(single.entry.table("costs")).to_pylist()}
        assert (row["stalls"], row["total_ns"]) == (len(stalls), sum(stall["dur"] for stall in stalls))
        assert row["longest_ns"] == max((stall["dur"] for stall in stalls), default=0)
        assert [row[name] for name in ("failed_remote_ops", "failed_fs_ops", "killed_tasks")] == [
            costs[name] for name in ("failed_remote_ops", "failed_fs_ops", "killed_tasks")
        ]


def test_a_point_of_a_sweep_is_replayed_as_by_itself(store: Store, tmp_path: Path) -> None:
    """Many over one set of columns, several at a time, or alone: the same bytes."""
    (row, *_) = swept(store, tmp_path / "x.json", "lease.app=3ms,7ms", traces=("rdma-ext4.dat",), jobs=2)
    alone = Store(tmp_path / "alone", create=True)
    trace = ingest_file(alone, SAMPLES / "rdma-ext4.dat").trace
    (single,) = runs.run(alone, trace, ["lease"], {"lease.app": "3ms"})
    ours = store.find("runs", row["run"])
    assert ours is not None
    for table in ours.path.glob("*.parquet"):
        assert table.read_bytes() == single.entry.table(table.stem).read_bytes(), table.name


def test_slower_holders_time_out_more_often(store: Store, tmp_path: Path) -> None:
    rows = swept(store, tmp_path / "x.json", *GRID)
    for source in ("lease-dax.dat", "rdma-ext4.dat"):
        for time in (50_000_000, 5_000_000_000):
            line = [row for row in rows if (row["source"], row["lease.break_time_ns"]) == (source, time)]
            shares = [row["timeout_share"] for row in line]
            assert shares == sorted(shares)
            assert [row["longest_ns"] for row in line] == sorted(row["longest_ns"] for row in line)
            assert all((row["timeouts"] == 0) for row in line if row["lease.app_ns"] < time)
    assert 0 < max(row["timeout_share"] for row in rows) <= 1


def test_the_report_on_lease_breaks_agrees(store: Store, tmp_path: Path) -> None:
    rows = swept(store, tmp_path / "x.json", *GRID, traces=("rdma-ext4.dat",))
    report = answer(store, "lease-breaks", trace=store.resolve_trace("rdma-ext4.dat").id)
    told = {(row["app"], row["break_time"]): row for row in report}
    apps = {10**6: "1ms", 10**7: "10ms", 10**8: "100ms", 10**9: "1s", 10**10: "10s", 10**11: "100s"}
    for row in rows:
        same = told[apps[row["lease.app_ns"]], "50ms" if row["lease.break_time_ns"] == 50_000_000 else "5s"]
        for name in ("breaks", "timeouts", "timeout_share", "failed_remote_ops", "killed_tasks"):
            assert row[name] == same[name]


def test_a_sweep_again_makes_nothing_anew_and_says_the_same(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = swept(store, tmp_path / "x.json", *GRID, policies=("lease", "lease+bounce"))
    before = sorted(store.path.rglob("*"))
    capsys.readouterr()
    assert swept(store, tmp_path / "y.json", *GRID, policies=("lease", "lease+bounce"), jobs=1) == first
    assert sorted(store.path.rglob("*")) == before
    assert capsys.readouterr().err == "48 of 48 runs were in the store already\n"


def test_every_kind_of_parameter_has_its_column(store: Store, tmp_path: Path) -> None:
    grid = ("lease.on_timeout=fail_io,kill", "lease.rounds=1,2", "mr.reg=50us+0.375us/page", "lease.app=60s", "lease.break_time=1ms")
    rows = swept(store, tmp_path / "x.json", *grid, traces=("rdma-ext4.dat",))
    assert [list(row)[1:6] for row in rows] == [["lease.on_timeout", "lease.rounds", "mr.reg", "lease.app_ns", "lease.break_time_ns"]] * 4
    assert [(row["lease.on_timeout"], row["lease.rounds"]) for row in rows] == [("fail_io", 1), ("fail_io", 2), ("kill", 1), ("kill", 2)]
    assert {(row["mr.reg"], row["lease.app_ns"]) for row in rows} == {("50us+375ns/page", 60 * 10**9)}
    killed = {row["lease.on_timeout"]: row["killed_tasks"] for row in rows}
    assert killed["fail_io"] == 0 < killed["kill"]


def test_parquet_has_numbers_to_draw(store: Store, tmp_path: Path) -> None:
    sweep(RunRequest(str(store.path), ("lease",), GRID), ("rdma-ext4.dat",), "parquet", str(tmp_path / "x.parquet"))
    schema = pq.read_schema(tmp_path / "x.parquet")
    assert schema.field("lease.app_ns").type == pa.int64()
    assert schema.field("timeout_share").type == pa.float64()


def test_a_grid_that_is_too_large_says_how_large_and_runs_nothing(store: Store, tmp_path: Path) -> None:
    before = sorted(store.path.rglob("*"))
    grid = ("lease.app=1ms..1s:100", "lease.rtt=1us..1ms:30")
    with pytest.raises(UsageError, match=r"100 x 30 choices of parameters, 1 policy, 2 traces: 6,000 replays, .* 1,000"):
        swept(store, tmp_path / "x.json", *grid)
    with pytest.raises(UsageError, match="did you mean lease"):
        swept(store, tmp_path / "x.json", "lease.app=1ms,2ms", policies=("none", "leese"))
    assert sorted(store.path.rglob("*")) == before
    assert not (tmp_path / "x.json").exists()


def test_from_python(store: Store) -> None:
    done = Archive(store.path).sweep("lease", {"lease.app": "1ms..1s:3", "lease.break_time": "5s"}, traces=["rdma-ext4.dat"])
    assert [point.values["lease.app"] for point in done.points] == [10**6, 31_600_000, 10**9]
    assert done.reported.pl()["lease.break_time_ns"].to_list() == 3 * [5 * 10**9]
    assert "What the choice of parameters changes" in repr(done.reported)
    assert "break_time" not in repr(done.reported)  # the same in all
    with pytest.raises(ReplayError, match="did you mean lease"):
        Archive(store.path).sweep("leese", {"lease.app": "1ms,1s"})


def test_plots_are_drawn_in_what_the_terminal_has_and_not_where_they_are_unwanted(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--store", str(store.path), "sweep", "--policy", "lease", "--trace", "rdma-ext4.dat"]
    command += ["--param", "lease.app=1ms..1s:3", "--param", "lease.break_time=50ms,5s"]

    def printed(*before: str) -> str:
        with pytest.raises(SystemExit):
            main([*before, *command])
        return capsys.readouterr().out

    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.delenv("TERM", raising=False)
    assert "Lease breaks that time out, up to 100%\n  lease.break_time=50ms  ··" in printed()
    plain = printed("--plain")
    assert plain.isascii()
    assert "Outcomes: " in plain
    assert "up to 100%" not in plain
    for name, value in (("TERM", "dumb"), ("LC_ALL", "C")):
        monkeypatch.setenv(name, value)
        text = printed()
        assert text.isascii()
        assert "Lease breaks that time out, up to 100%\n  lease.break_time=50ms  .." in text
        monkeypatch.undo()
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
