"""What `replay report` says around a table: what is missing, and how to get it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from builders.stores import add_run, add_trace

from replay import reports
from replay.needs import unmet
from replay.probes import PROBES
from replay.reportheader import parse
from replay.reporting import list_reports, report
from replay.store import Store
from replay.tracepoints import TRACEPOINTS

OTHER = "t000000000012"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_needs_name_the_traces_that_lack_something_and_how_to_get_it(store: Store) -> None:
    asked = parse(
        "x",
        "-- T.\n-- Question: q?\n-- Source: s\n-- Tables: t\n-- Needs punch|reflink from ext4:ext4_punch_hole: only these.\n"
        "-- Needs run lease|odp: it revokes.\n-- Needs ext4:ext4_evict_inode: the end.\n",
    )
    one = add_trace(store, found={"operations": {"punch": 2}})
    two = add_trace(store, OTHER, "other.dat", raw={("ext4", "ext4_evict_inode"): pa.table({"seq": [1]})}, found={"operations": {}})
    run = add_run(store, "r1", "lease+bounce", OTHER)
    how = "record with replay record, or enable"
    assert unmet(asked, [one], [run]) == [
        "needs a run, of which work.dat has none: replay run --policy lease. It revokes.",
        f"needs ext4:ext4_evict_inode, of which work.dat has none: {how} ext4:ext4_evict_inode yourself. The end.",
    ]
    assert unmet(asked, [two], [run]) == [
        f"needs punch or reflink events, of which other.dat has none: {how} ext4:ext4_punch_hole yourself. Only these."
    ]
    assert unmet(asked, [one, two], [])[1].startswith("needs a run, of which none of the 2 traces has any: replay run --policy lease")


def test_replay_record_enables_what_reports_need() -> None:
    enabled = {f"gup:{probe.event}{end}" for probe in PROBES for end in ("", *(["_ret"] if probe.returns else []))}
    enabled |= {f"{row.system}:{name}" for row in TRACEPOINTS for event in row.events for name in event.split("|")}
    for name in reports.names():
        for need in reports.load(name).needs:
            assert set(need.tracepoints) <= enabled, name


def test_an_empty_answer_says_what_it_needs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    add_trace(store)
    add_run(store, "r1", "none")
    report(str(store.path), "cow", {}, "table", None)
    said = capsys.readouterr()
    assert "Nothing of the kind" in said.out
    assert "----" not in said.out
    assert "of which work.dat has none: record with replay record, or enable xfs:xfs_reflink_remap_range" in " ".join(said.out.split())
    report(str(store.path), "cow", {}, "json", None)
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert "needs reflink events" in said.err


def test_the_list_shows_every_question_of_every_report(capsys: pytest.CaptureFixture[str]) -> None:
    list_reports("table", None)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for name in reports.names():
        found = reports.load(name)
        assert f"{name}: {found.title}" in flat
        assert all(question.text in flat for question in found.questions)
