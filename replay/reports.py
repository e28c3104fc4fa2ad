"""Reports: one .sql file per question, found by name and run; replay/reportheader.py says what their headers tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from replay import queries
from replay.errors import UsageError
from replay.render import PLAIN, Head, Look, text_table
from replay.reportheader import Report, Section, parse

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.session import Session


def names() -> list[str]:
    """Reports in alphabetical order."""
    return [name for name in queries.names() if not name.startswith("_")]


def text(name: str) -> str:
    """The report's file: header and SQL, as it runs in any DuckDB over `replay sql --views`."""
    return queries.text(name)


def load(name: str) -> Report:
    """The report of this name; UsageError, with the nearest name, if there is none."""
    if name not in names():
        close = get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "replay report --list shows all"
        raise UsageError(f"no report '{name}'", hint=hint)
    return parse(name, text(name))


def listing() -> pa.Table:
    """All reports with the questions that they answer and the parameters that they take."""
    import pyarrow as pa

    rows = [
        {
            "report": found.name,
            "title": found.title,
            "questions": [question.text for question in found.questions],
            "parameters": [parameter.name for parameter in found.parameters],
        }
        for found in map(load, names())
    ]
    return pa.Table.from_pylist(rows)


def run(session: Session, report: Report, values: Mapping[str, str | int | None]) -> pa.Table:
    """The report's rows. A value for a parameter that the report does not have is a UsageError."""
    known = {parameter.name: parameter for parameter in report.parameters}
    for name, value in values.items():
        if name not in known and value is not None:
            takes = ", ".join(known) or "none"
            raise UsageError(f"report {report.name} has no parameter '{name}'", hint=f"it takes: {takes}")
    session.set_variables({name: values.get(name) for name in known})
    return session.sql(report.sql).arrow()


@dataclass(frozen=True, slots=True)
class Part:
    """What of a section is worth showing: columns under their heads, and the titles of those without any amount."""

    title: str
    text: str
    heads: Mapping[str, Head]
    empty: tuple[str, ...]


def parts(report: Report, rows: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The sections of a report for human eyes, each with the key columns; key columns without any text are left out."""
    heads = {column.name: column.head for column in report.columns}
    flags = {head.open_column for head in heads.values()}
    sections = report.sections or (Section("", "", ()),)
    keys = [name for name in heads if name not in flags and not any(name in section.columns for section in sections)]
    keys = [name for name in keys if not rows or any(row[name] not in {None, ""} for row in rows)]
    found = []
    for section in sections:
        shown = [name for name in section.columns if name not in flags]
        empty = [name for name in shown if rows and not any(row[name] for row in rows)]
        filled = {name: heads[name] for name in (*keys, *shown) if name not in empty}
        absent = (heads[name].title.replace("\n", " ").replace("- ", "-") for name in empty)
        found.append(Part(section.title, section.text, filled, tuple(absent)))
    return found


def as_text(report: Report, table: pa.Table, look: Look = PLAIN) -> str:
    """The report for human eyes: sections one below the other, columns without any amount named in a line instead.

    What it is about is said above it: a trace that all rows share is not said again, neither by its source nor by its id.
    """
    rows = table.to_pylist()
    same = {name for name in ("source", "trace") if len({row.get(name) for row in rows}) == 1}
    report = replace(report, columns=tuple(column for column in report.columns if column.name not in same))
    texts = []
    for part in parts(report, rows):
        lead = look.fill(f"{part.title}: {part.text}") + "\n" if part.title else ""
        absent = look.fill(f"None anywhere: {', '.join(part.empty)}.") + "\n" if part.empty else ""
        texts.append(lead + text_table(part.heads, rows, look) + absent)
    return "\n".join(texts)
