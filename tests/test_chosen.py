"""Which runs a report is about, once a sweep has filled the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.stores import add_run, add_trace

from replay.chosen import MOST_SETTINGS, choose
from replay.errors import ReplayError, UsageError
from replay.params import parse_params, show_params
from replay.reporting import report
from replay.store import Store


def params(**changed: str) -> str:
    return json.dumps(show_params(parse_params({name.replace("_", ".", 1): value for name, value in changed.items()})))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Policy none, and lease with 23 answers to how long the holder takes, of which one is the default."""
    store = Store(tmp_path / "store", create=True)
    add_trace(store)
    add_run(store, "r-none", "none", params=params())
    for ms in range(1, 24):
        add_run(store, f"r-{ms:02}", "lease", params=params(lease_app=f"{ms}ms"))
    return store


def test_of_many_settings_the_defaults_are_shown_and_the_rest_is_said(store: Store) -> None:
    chosen = choose(store.runs(), None, None)
    assert [run.id for run in chosen.runs] == ["r-01", "r-none"]
    (note,) = chosen.notes
    assert note.startswith("Of lease only the default parameters are shown, 22 more choices are not")
    assert len(choose(store.runs(), None, None, every=True).runs) == 24


def test_without_the_defaults_a_few_settings_stand_for_the_rest(store: Store) -> None:
    chosen = choose([run for run in store.runs() if run.id != "r-01"], None, "lease")
    assert len(chosen.runs) == MOST_SETTINGS
    assert f"only {MOST_SETTINGS} choices of parameters are shown, 14 more" in chosen.notes[0]


def test_a_few_settings_are_all_shown(store: Store) -> None:
    few = [run for run in store.runs() if run.id in {"r-none", *(f"r-{ms:02}" for ms in range(2, 2 + MOST_SETTINGS))}]
    assert choose(few, None, None).runs == tuple(few)
    assert choose(few, None, None).notes == ()


def test_parameters_choose_runs_however_they_are_written(store: Store) -> None:
    assert [run.id for run in choose(store.runs(), None, "lease", {"lease.app": "7000us"}).runs] == ["r-07"]
    assert [run.id for run in choose(store.runs(), None, None, {"lease.app": "1ms", "lease.rounds": "2"}).runs] == ["r-01", "r-none"]
    with pytest.raises(
        ReplayError, match=r"no run of lease has these parameters \(first: replay run --policy lease --param lease\.app=70ms\)"
    ):
        choose(store.runs(), None, "lease", {"lease.app": "70000us"})
    with pytest.raises(UsageError, match=r"did you mean lease\.app"):
        choose(store.runs(), None, None, {"lease.ap": "1ms"})


def test_reports_say_what_they_leave_out(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    report(str(store.path), "overview", {}, "json", None)
    said = capsys.readouterr()
    assert [(row["policy"], row["settings"]) for row in json.loads(said.out)] == [("none", ""), ("lease", "")]
    assert "22 more choices are not" in said.err
    report(str(store.path), "overview", {}, "json", None, ["lease.app=5ms"])
    assert [row["settings"] for row in json.loads(capsys.readouterr().out)] == ["lease.app=5ms"]
    report(str(store.path), "overview", {}, "json", None, all_settings=True)
    assert len(json.loads(capsys.readouterr().out)) == 24
    report(str(store.path), "lease-breaks", {}, "json", None)
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 23
    assert "more choices" not in said.err
    with pytest.raises(UsageError, match="about traces"):
        report(str(store.path), "pins", {}, "json", None, ["lease.app=5ms"])
