"""What `replay report` does: the table, what it is about, how far to trust it, and what it would need."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replay import reports
from replay.console import put, say, show
from replay.errors import ReplayError
from replay.needs import unmet
from replay.render import Format
from replay.store import Entry, Store

if TYPE_CHECKING:
    import pyarrow as pa

# Parameters of reports that the command line offers.
_OPTIONS = ("policy", "trace", "limit")
_TEXT_WIDTH = 100


def report(store_path: str, name: str, values: Mapping[str, str | int | None], form: Format, output: str | None) -> None:
    """Run a report; as text it says what it is about, how far to trust it, and what it would need."""
    from replay.session import Session
    from replay.summary import caveats, subject

    wanted = reports.load(name)
    store = Store(store_path)
    entry = store.resolve_trace(str(values["trace"])) if values.get("trace") is not None else None
    traces = [entry] if entry else store.traces()
    runs = store.runs() if wanted.about_runs else []
    if wanted.about_runs:
        traces = _with_runs(store, traces, runs, values.get("policy"))
    with Session(store) as session:
        table = reports.run(session, wanted, {**values, "trace": entry.id if entry else None})
    missing = unmet(wanted, traces, runs)
    notes = [*_uneven(table), *caveats(traces), *_next_steps(name)]
    if form == "table" and output is None:
        body = reports.as_text(wanted, table) if table.num_rows else "Nothing of the kind in what is there.\n"
        lines = [*map(_fill, missing), *notes]
        put(f"{wanted.title}.\n{subject(traces)}\n\n{body}\n" + "".join(f"{line}\n" for line in lines))
        return
    show(table, form, output)
    for line in (*missing, *notes):
        say(line)


def _with_runs(store: Store, traces: Sequence[Entry], runs: Sequence[Entry], policy: object) -> list[Entry]:
    """Of these traces those that were replayed (under this policy); UsageError or a hint where there are none."""
    if not runs:
        raise ReplayError("nothing has been replayed yet", where=str(store.path), hint="first: replay run")
    check_replayed(policy, runs)
    replayed = {entry.row["trace"] for entry in runs if policy is None or entry.row["policy"] == policy}
    found = [entry for entry in traces if entry.id in replayed]
    if not found:
        raise ReplayError("this trace has not been replayed yet", where=str(store.path), hint="first: replay run --trace TRACE")
    return found


def check_replayed(policy: object, runs: Sequence[Entry]) -> None:
    """ReplayError where a policy was named and no run is of it."""
    from replay.policies import find_policy

    known = sorted({str(entry.row["policy"]) for entry in runs})
    if policy is None or policy in known:
        return
    find_policy(str(policy))  # a name that does not exist is refused there, with the nearest one
    so_far = f"; so far: {', '.join(known)}" if known else ""
    raise ReplayError(f"policy '{policy}' has not been replayed yet", hint=f"first: replay run --policy {policy}{so_far}")


def _uneven(table: pa.Table) -> list[str]:
    """A warning where policies cannot be compared, since they were run on different numbers of traces."""
    if "traces" not in table.column_names or len(set(table["traces"].to_pylist())) < 2:
        return []
    return ["Not every policy was run on every trace: compare within one trace (--trace), or run the others (replay run)."]


def _next_steps(name: str) -> list[str]:
    if name != "overview":
        return []
    return [
        "What each policy decides: replay policies. All questions that can be asked: replay report --list.",
        "Other assumptions: replay run --policy lease --param lease.app=50ms, then replay report again.",
    ]


def _fill(text: str) -> str:
    return textwrap.fill(text, _TEXT_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def list_reports(form: Format, output: str | None) -> None:
    """All reports with the questions that they answer and their parameters."""
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for found in map(reports.load, reports.names()):
        options = " ".join(f"--{parameter.name}" for parameter in found.parameters if parameter.name in _OPTIONS)
        questions = [question.text for question in found.questions]
        rows.append({"report": found.name, "title": found.title, "questions": questions, "options": options})
    if form == "table" and output is None:
        put("\n".join(_listed(row) for row in rows))
    else:
        show(pa.Table.from_pylist(rows), form, output)


def _listed(row: Mapping[str, Any]) -> str:
    questions = "".join(textwrap.fill(text, 80, initial_indent="    ", subsequent_indent="    ") + "\n" for text in row["questions"])
    return f"{textwrap.fill(row['report'] + ': ' + row['title'], 80, subsequent_indent='  ')}\n{questions}    {row['options']}\n"
