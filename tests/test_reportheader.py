"""Headers of reports say what their queries take, read, need and give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replay import reports
from replay.ingest.mappings import MAPPINGS
from replay.policies import BY_NAME
from replay.reportheader import parse
from replay.schema import OPS
from replay.session import Session
from replay.store import Store
from replay.views import REPORTED_RAW, internal_views


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store.json").write_text('{"version": 2}')
    return Store(tmp_path)


@pytest.mark.parametrize("name", reports.names())
def test_header_declares_the_columns_that_the_query_gives(store: Store, name: str) -> None:
    report = reports.load(name)
    with Session(store) as session:
        found = dict(session.columns(report.sql))
    assert list(found) == [column.name for column in report.columns]
    assert all(column.doc for column in report.columns)
    assert all(question.text.endswith("?") and question.source for question in report.questions)
    assert {column.head.open_column for column in report.columns} - {""} <= set(found)
    for column in report.columns:
        kinds = {"ns": {"BIGINT"}, "ts": {"BIGINT"}, "bytes": {"BIGINT"}, "pages": {"BIGINT"}, "count": {"BIGINT"}, "flag": {"BOOLEAN"}}
        plain = {"VARCHAR", "BOOLEAN", "BIGINT", "INTEGER"}
        assert found[column.name] in kinds.get(column.head.unit, {"DOUBLE"} if column.head.unit else plain), column
    assert len(reports.text(name).splitlines()) < 135


@pytest.mark.parametrize("name", reports.names())
def test_header_declares_the_tables_that_the_query_reads(name: str) -> None:
    report = reports.load(name)
    query = re.sub(r"--[^\n]*", "", report.sql)
    own = set(re.findall(r"(\w+)(?:\([^()]*\))? AS (?:MATERIALIZED )?\(\s*(?:SELECT|VALUES|PIVOT)", query))
    assert set(re.findall(r"(?<!DISTINCT )\b(?:FROM|JOIN|PIVOT) (\w+)", query)) - own == set(report.tables)


@pytest.mark.parametrize("name", reports.names())
def test_header_declares_the_parameters_that_the_query_takes(name: str) -> None:
    """Also those that it takes through the internal views that it reads."""
    report = reports.load(name)
    internal = internal_views()
    texts = [report.sql, *(internal[table]() for table in report.tables if table in internal)]
    read = {variable: kind for text in texts for variable, kind in re.findall(r"getvariable\('(\w+)'\)::(\w+)", text)}
    assert read == {parameter.name: parameter.type for parameter in report.parameters}
    assert "".join(texts).count("getvariable") == sum(len(re.findall(r"getvariable\('\w+'\)::", text)) for text in texts)
    for parameter in report.parameters:
        assert parameter.doc
        default = re.findall(rf"coalesce\(getvariable\('{parameter.name}'\)::\w+, (\w+)\)", "".join(texts))
        assert set(default) == (set() if parameter.default is None else {str(parameter.default)})


@pytest.mark.parametrize("name", reports.names())
def test_what_a_report_needs_is_what_ingest_and_replay_know(name: str) -> None:
    for need in reports.load(name).needs:
        assert need.doc
        if need.of_run:
            assert set(need.names) <= set(BY_NAME)
            continue
        for point in need.tracepoints:
            system, event = point.split(":")
            lowered = [mapping.op for mapping in MAPPINGS if event in mapping.events and (not mapping.systems or system in mapping.systems)]
            assert point in need.names or set(lowered) & set(need.names), point
        assert need.tracepoints
        assert all(name in OPS or name in REPORTED_RAW for name in need.names)


# What the people of the 2019 thread and its successors asked or objected, by words of theirs; each has its report.
ASKED = {
    "random process kills": "disruptions",
    "revoke won't happen": "revokers",
    "Truncate is a red herring": "layout",
    "dax_layout_busy_page can block forever": "dax-waits",
    "if the revoke takes too long": "lease-breaks",
    "which a user does not respond to": "lease-breaks",
    "one big kill-everything call": "collateral",
    "sanity checks whether the file is fully allocated": "allocation",
    "becomes an immutable": "failed-ops",
    "not block and fail indefinitely": "progress",
    "a lack of visibility from sysadmin POV": "ownerless",
    "won't actually be free": "space-held",
    "unlink a file that is currently still open": "space-held",
    "blocking e.g. writeback for hours": "unsynced",
    "99% of the observed issues": "reclaim-or-bounce",
    "no point in writing back a pinned page": "wasted-writeback",
    "minutes or hours after the pin": "idle-pins",
    "new reflinks would be blocked": "cow",
    "big error message": "dio-invalidate",
    "Page faults can and do fail": "odp",
    "a real world scenario": "pins",
    "lease owner's own IO can free blocks": "layout",
    "need to replace the page with a new one": "migration",
}


@pytest.mark.parametrize("words", ASKED)
def test_every_question_of_the_thread_has_its_report(words: str) -> None:
    assert any(words in question.source for question in reports.load(ASKED[words]).questions)


@pytest.mark.parametrize(
    "text",
    [
        "-- Title.\nSELECT 1",
        "-- Title.\n-- Question: q?\n-- Tables: t\nSELECT 1",
        "-- Title.\n-- Question: q?\n-- Source: s\n-- Tables: t\n-- Column two words [: x\n",
        "-- Title.\n-- Question: q?\n-- Source: s\n-- Tables: t\n-- Needs two words: x\n",
    ],
)
def test_header_that_does_not_follow_the_form_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"header|expected"):
        parse("x", text)
