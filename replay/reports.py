"""Reports: one .sql file per question. Its header, checked by tests, says what it asks, takes and gives.

    -- Title.
    --
    -- Question: who asked this, in a sentence.
    -- Source: where.
    -- Parameter policy VARCHAR = NULL: only runs of this policy.
    -- Section Data at risk: text above the part of the table that begins here.
    -- Column total [ns] "total/stalled": what the column holds.

A unit in brackets makes a text table show the value in human units; `[ns; open longest_open]` names a flag column, itself
not shown, that marks a duration without an end. In a title "/" begins a new line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import TYPE_CHECKING

from replay.errors import UsageError
from replay.render import Head, text_table

if TYPE_CHECKING:
    import pyarrow as pa

    from replay.session import Session

_COLUMN = re.compile(r'Column (\w+)(?: \[([\w-]*)(?:; open (\w+))?\])?(?: "([^"]*)")?$')
_PARAMETER = re.compile(r"Parameter (\w+) (VARCHAR|BIGINT) = (.+)$")
_ENTRY = re.compile(r'^(Question|Source|Parameter [^:]+|Section [^:]+|Column \w+(?: \[[^\]]*\])?(?: "[^"]*")?): (.*)$')


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    default: str | int | None
    doc: str


@dataclass(frozen=True, slots=True)
class ReportColumn:
    name: str
    head: Head
    doc: str


@dataclass(frozen=True, slots=True)
class Section:
    """Part of a report's columns that a text table shows by itself, below the key columns."""

    title: str
    text: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    name: str
    title: str
    question: str
    source: str
    parameters: tuple[Parameter, ...]
    columns: tuple[ReportColumn, ...]
    sections: tuple[Section, ...]
    sql: str

    @property
    def about_runs(self) -> bool:
        return any(parameter.name == "policy" for parameter in self.parameters)


def names() -> list[str]:
    """Reports in alphabetical order."""
    found = (entry.name for entry in files("replay.queries").iterdir())
    return sorted(name.removesuffix(".sql") for name in found if name.endswith(".sql") and not name.startswith("_"))


def load(name: str) -> Report:
    """The report of this name; UsageError, with the nearest name, if there is none."""
    if name not in names():
        close = get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "replay report --list shows all"
        raise UsageError(f"no report '{name}'", hint=hint)
    return parse(name, files("replay.queries").joinpath(f"{name}.sql").read_text(encoding="utf-8"))


def run(session: Session, report: Report, values: Mapping[str, str | int | None]) -> pa.Table:
    """The report's rows. A value for a parameter that the report does not have is a UsageError."""
    known = {parameter.name: parameter for parameter in report.parameters}
    for name, value in values.items():
        if name not in known and value is not None:
            takes = ", ".join(known) or "none"
            raise UsageError(f"report {report.name} has no parameter '{name}'", hint=f"it takes: {takes}")
    bound = {name: parameter.default if values.get(name) is None else values[name] for name, parameter in known.items()}
    return session.sql(report.sql, bound).arrow()


def as_text(report: Report, table: pa.Table) -> str:
    """The report for human eyes: sections one below the other, columns without any amount named in a line instead."""
    rows = table.to_pylist()
    heads = {column.name: column.head for column in report.columns}
    flags = {head.open_column for head in heads.values()}
    sections = report.sections or (Section("", "", ()),)
    keys = [name for name in heads if name not in flags and not any(name in section.columns for section in sections)]
    keys = [name for name in keys if not rows or any(row[name] not in {None, ""} for row in rows)]
    parts = []
    for section in sections:
        shown = [name for name in section.columns if name not in flags]
        empty = [name for name in shown if rows and not any(row[name] for row in rows)]
        filled = {name: heads[name] for name in (*keys, *shown) if name not in empty}
        lead = textwrap.fill(f"{section.title}: {section.text}", 100) + "\n" if section.title else ""
        absent = ", ".join(heads[name].title.replace("/", " ").replace("- ", "-") for name in empty)
        parts.append(lead + text_table(filled, rows) + (textwrap.fill(f"None anywhere: {absent}.", 100) + "\n" if empty else ""))
    return "\n".join(parts)


def parse(name: str, text: str) -> Report:
    """Read a report's header. ValueError where it does not follow the form."""
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        header.append(line[3:].rstrip())
    entries: list[list[str]] = []
    for line in header[1:]:
        match = _ENTRY.match(line)
        if match:
            entries.append([match[1], match[2]])
        elif line.startswith("  ") and entries:
            entries[-1][1] += " " + line.strip()
        elif line:
            raise ValueError(f"{name}: '{line}' is no line of a report's header")
    single = {key: doc for key, doc in entries if key in {"Question", "Source"}}
    if not header or set(single) != {"Question", "Source"}:
        raise ValueError(f"{name}: a report begins with a title, Question: and Source:")
    return Report(
        name,
        header[0].rstrip("."),
        single["Question"],
        single["Source"],
        tuple(_parameter(key, doc) for key, doc in entries if key.startswith("Parameter ")),
        tuple(_column(key, doc) for key, doc in entries if key.startswith("Column ")),
        _sections(entries),
        text,
    )


def _parameter(key: str, doc: str) -> Parameter:
    match = _PARAMETER.match(key)
    if not match:
        raise ValueError(f"'{key}': expected Parameter NAME VARCHAR|BIGINT = DEFAULT")
    default = None if match[3] == "NULL" else int(match[3]) if match[2] == "BIGINT" else match[3].strip("'")
    return Parameter(match[1], match[2], default, doc)


def _column(key: str, doc: str) -> ReportColumn:
    match = _COLUMN.match(key)
    if not match:
        raise ValueError(f"'{key}': expected Column NAME [UNIT] \"TITLE\"")
    title = (match[4] or match[1].replace("_", " ")).replace("/", "\n")
    return ReportColumn(match[1], Head(title, match[2] or "", match[3] or ""), doc)


def _sections(entries: Sequence[Sequence[str]]) -> tuple[Section, ...]:
    sections: list[Section] = []
    for key, doc in entries:
        if key.startswith("Section "):
            sections.append(Section(key.removeprefix("Section "), doc, ()))
        elif key.startswith("Column ") and sections:
            last = sections[-1]
            sections[-1] = Section(last.title, last.text, (*last.columns, key.split()[1]))
    return tuple(sections)
