"""`import replay`: cheap, typed, one kind of error, no output; what the command line is made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import replay
from replay.policies import BUILTIN

EXAMPLES = Path(__file__).parent / "examples"
PUNCH, PINNED = EXAMPLES / "dax-punch.jsonl", EXAMPLES / "never-unpinned.jsonl"


@pytest.fixture
def store(tmp_path: Path) -> replay.Archive:
    store = replay.open(tmp_path / "store", create=True)
    store.ingest(PINNED)
    return store


def test_import_is_cheap() -> None:
    code = "import replay, sys; print([name for name in ('typer', 'duckdb', 'pyarrow', 'polars', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert replay.Archive.__module__ == "replay.archive"
    with pytest.raises(AttributeError, match="nothing"):
        _ = replay.nothing  # type: ignore[attr-defined]


def test_nothing_is_printed(store: replay.Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    list(store.ingest_many([PUNCH, tmp_path / "missing"]))
    store.run()
    store.report("stalls")
    store.validate()
    store.export_perfetto(tmp_path / "out.pftrace", trace=PINNED.name)
    store.export_tables(tmp_path / "tables")
    assert capfd.readouterr() == ("", "")
    assert {path.name for path in tmp_path.iterdir()} == {"store", "out.pftrace", "tables"}


def test_run_takes_one_policy_or_many_on_one_trace_or_all(store: replay.Archive, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    assert [run.policy for run in store.run("lease", params={"lease.app": "5ms"})] == ["lease"]
    store.ingest(PUNCH)
    (tmp_path / "own.toml").write_text('[policy.mine]\nwriteback = "hold"\n')
    runs = store.run(policy_file=tmp_path / "own.toml", progress=lambda *step: steps.append(step))
    assert [run.policy for run in runs] == [*(policy.name for policy in BUILTIN), "mine"] * 2
    assert steps == sorted(steps)
    assert steps[-1] == (len(runs), len(runs))
    assert [run.already for run in store.run(["mine", "none"], trace=PUNCH.name, policy_file=tmp_path / "own.toml")] == [True, True]
    assert store.runs().arrow().num_rows == len(runs) + 1


def test_each_file_is_ingested_by_itself(store: replay.Archive, tmp_path: Path) -> None:
    outcomes = list(store.ingest_many([tmp_path / "missing", PUNCH, PINNED]))
    assert [outcome.summary.already if outcome.summary else None for outcome in outcomes] == [None, False, True]
    assert "no such file" in outcomes[0].refusal
    assert store.traces().pl()["source"].to_list() == [PUNCH.name, PINNED.name]


def test_a_report_knows_what_it_is_about_and_what_it_lacks(store: replay.Archive) -> None:
    store.run("none")
    report = store.report("cow")
    assert (report.rows(), report.arrow().num_rows, report.pl().height) == ([], 0, 0)
    assert report.needs[0].startswith("needs reflink events, of which never-unpinned.jsonl has none")
    assert "Nothing of the kind" in str(report)
    assert PINNED.name in report.about
    assert report.notes
    with pytest.raises(replay.UsageError, match="takes: trace, policy"):
        store.report("stalls", polcy="none")


def test_answers_show_as_text_of_bounded_length(store: replay.Archive) -> None:
    assert repr(store.sql("SELECT 1 AS one, 'x' AS word")) == "one  word\n---  ----\n  1  x"
    text = repr(store.sql("SELECT range AS n FROM range(1000)"))
    assert text.endswith("(the first 20 of 1000 rows)")
    assert len(text.splitlines()) == 23
    assert isinstance(store.reports().pl(), pl.DataFrame)


def test_every_refusal_is_an_error_of_ours(store: replay.Archive, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(replay.StoreError, match="no store here"):
        replay.open(tmp_path / "other").traces()
    with pytest.raises(replay.ReplayError, match="nothing has been replayed"):
        store.report("stalls")
    with pytest.raises(replay.UsageError, match="did you mean lease"):
        store.run("leese")
    with pytest.raises(replay.TraceError):
        store.ingest(tmp_path / "missing")
    with pytest.raises(replay.ReplayError, match="not a directory"):
        store.export_tables(blocked / "x" / "tables")
    with pytest.raises(replay.ReplayError, match="not a directory"):
        replay.open(blocked / "store", create=True).ingest(PUNCH)
