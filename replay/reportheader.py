"""The header of a report's .sql file: what it asks, takes, needs and gives, checked by tests against the SQL below it.

    -- Title.
    --
    -- Question: what somebody wants to know, in a sentence.
    -- Source: who asked.
    -- Parameter policy VARCHAR = NULL: only runs of this policy.
    -- Needs truncate|punch from ext4:ext4_truncate_enter: what only these events tell.
    -- Tables: conflicts tasks _runs
    -- Settings: all
    -- Section Data at risk: text above the part of the table that begins here.
    -- Column total [ns] "total/stalled": what the column holds.

A file that answers several questions has a Question and a Source for each. Needs names canonical operations and the
tracepoints that give them, a tracepoint itself (ext4:ext4_evict_inode), or runs (run lease); of several with | between, one
will do. A unit in brackets makes a text table show the value in human units; `[ns; open longest_open]` names a flag column,
itself not shown, that marks a duration without an end; with `; spare` a text table that is too wide leaves the column out, the
last one first. In a title "/" begins a new line. "Settings: all" stands in reports that
compare choices of parameters: they see every run of a policy, others only a few (replay/chosen.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from replay.render import Head

_COLUMN = re.compile(r'Column (\w+)(?: \[([\w-]*)(?:; open (\w+))?(; spare)?\])?(?: "([^"]*)")?$')
_PARAMETER = re.compile(r"Parameter (\w+) (VARCHAR|BIGINT) = (.+)$")
_NEED = re.compile(r"Needs (run )?([\w:|-]+)(?: from ([\w:, ]+))?$")
_ENTRY = re.compile(
    r"^(Question|Source|Tables|Settings|Parameter [^:]+|Needs (?:[^:]|:(?! ))+|Section [^:]+"
    r'|Column \w+(?: \[[^\]]*\])?(?: "[^"]*")?): (.*)$'
)


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    default: str | int | None
    doc: str


@dataclass(frozen=True, slots=True)
class Need:
    """Without one of `names` in a trace, part of the answer is missing. `tracepoints` record them; `of_run`: they are policies."""

    names: tuple[str, ...]
    tracepoints: tuple[str, ...]
    of_run: bool
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
    questions: tuple[Question, ...]
    parameters: tuple[Parameter, ...]
    needs: tuple[Need, ...]
    tables: tuple[str, ...]
    all_settings: bool
    columns: tuple[ReportColumn, ...]
    sections: tuple[Section, ...]
    sql: str

    @property
    def about_runs(self) -> bool:
        return any(parameter.name == "policy" for parameter in self.parameters)


def parse(name: str, text: str) -> Report:
    """Read a report's file. ValueError where its header does not follow the form."""
    header = list(takewhile(lambda line: line.startswith("--"), text.splitlines(keepends=True)))
    title, entries = _entries(name, [line[3:].rstrip() for line in header])
    questions = [doc for key, doc in entries if key == "Question"]
    sources = [doc for key, doc in entries if key == "Source"]
    tables = [doc for key, doc in entries if key == "Tables"]
    if not title or not questions or len(questions) != len(sources) or len(tables) != 1:
        raise ValueError(f"{name}: a report's header has a title, a Source: for each Question:, and Tables:")
    return Report(
        name,
        title.rstrip("."),
        tuple(Question(*pair) for pair in zip(questions, sources, strict=True)),
        tuple(_parameter(key, doc) for key, doc in entries if key.startswith("Parameter ")),
        tuple(_need(key, doc) for key, doc in entries if key.startswith("Needs ")),
        tuple(tables[0].split()),
        ["Settings", "all"] in entries,
        tuple(_column(key, doc) for key, doc in entries if key.startswith("Column ")),
        _sections(entries),
        text.removeprefix("".join(header)),
    )


def _entries(name: str, header: Sequence[str]) -> tuple[str, list[list[str]]]:
    """The title, and each entry's key and text; an indented line goes on with the entry above."""
    entries: list[list[str]] = []
    for line in header[1:]:
        match = _ENTRY.match(line)
        if match:
            entries.append([match[1], match[2]])
        elif line.startswith("  ") and entries:
            entries[-1][1] += " " + line.strip()
        elif line:
            raise ValueError(f"{name}: '{line}' is no line of a report's header")
    return header[0] if header else "", entries


def _parameter(key: str, doc: str) -> Parameter:
    match = _PARAMETER.match(key)
    if not match:
        raise ValueError(f"'{key}': expected Parameter NAME VARCHAR|BIGINT = DEFAULT")
    default = None if match[3] == "NULL" else int(match[3]) if match[2] == "BIGINT" else match[3].strip("'")
    return Parameter(match[1], match[2], default, doc)


def _need(key: str, doc: str) -> Need:
    match = _NEED.match(key)
    if not match:
        raise ValueError(f"'{key}': expected Needs OPERATION|... from SYSTEM:EVENT, ... or Needs SYSTEM:EVENT or Needs run POLICY|...")
    names = tuple(match[2].split("|"))
    tracepoints = tuple(match[3].split(", ")) if match[3] else tuple(name for name in names if ":" in name)
    return Need(names, tracepoints, match[1] is not None, doc)


def _column(key: str, doc: str) -> ReportColumn:
    match = _COLUMN.match(key)
    if not match:
        raise ValueError(f"'{key}': expected Column NAME [UNIT] \"TITLE\"")
    title = (match[5] or match[1].replace("_", " ")).replace("/", "\n")
    return ReportColumn(match[1], Head(title, match[2] or "", match[3] or "", match[4] is not None), doc)


def _sections(entries: Sequence[Sequence[str]]) -> tuple[Section, ...]:
    sections: list[Section] = []
    for key, doc in entries:
        if key.startswith("Section "):
            sections.append(Section(key.removeprefix("Section "), doc, ()))
        elif key.startswith("Column ") and sections:
            last = sections[-1]
            sections[-1] = Section(last.title, last.text, (*last.columns, key.split()[1]))
    return tuple(sections)
