"""What `replay report` does: the table, what it is about, how far to trust it, and what it would need."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replay import reports
from replay.chosen import Chosen, choose
from replay.console import look, put, say, show
from replay.errors import ReplayError, UsageError
from replay.needs import unmet
from replay.params import parse_assignments
from replay.render import PLAIN, Format, Look
from replay.reportheader import Report
from replay.session import Answer, Session
from replay.store import Entry, Store

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# Parameters of reports that the command line offers.
_OPTIONS = ("policy", "trace", "limit")


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report gave: its rows, the traces that they are about, what it would need to answer in full, how far to trust it."""

    report: Report
    table: pa.Table
    about: str
    needs: tuple[str, ...]
    notes: tuple[str, ...]

    def arrow(self) -> pa.Table:
        return self.table

    def pl(self) -> pl.DataFrame:
        return Answer(self.table).pl()

    def rows(self) -> list[dict[str, Any]]:
        """Rows as dictionaries, for small answers."""
        return Answer(self.table).rows()

    def __repr__(self) -> str:
        return self.text(PLAIN)

    def text(self, look: Look) -> str:
        """What the command line prints."""
        body = reports.as_text(self.report, self.table, look) if self.table.num_rows else "Nothing of the kind in what is there.\n"
        above = "\n".join(map(look.fill, (f"{self.report.title}.", self.about)))
        return f"{above}\n\n{body}\n" + "\n".join(look.fill(text, "  ") for text in (*self.needs, *self.notes))


def ask(
    store: Store,
    name: str,
    values: Mapping[str, str | int | None],
    params: Mapping[str, str] | None = None,
    all_settings: bool = False,
) -> Reported:
    """Run a report; a trace may be named as `Store.resolve_trace` takes it.

    `params`: only runs with these parameters. `all_settings`: every run of a policy, however many there are.
    """
    from replay.summary import caveats, subject

    wanted = reports.load(name)
    entry = store.resolve_trace(str(values["trace"])) if values.get("trace") is not None else None
    traces = [entry] if entry else store.traces()
    chosen = Chosen(())
    if wanted.about_runs:
        runs = store.runs()
        traces = _with_runs(store, traces, runs, values.get("policy"))
        policy = None if values.get("policy") is None else str(values["policy"])
        chosen = choose(runs, entry.id if entry else None, policy, params, every=all_settings or wanted.all_settings)
    elif params:
        raise UsageError(f"report {name} is about traces, which have no parameters")
    with Session(store, chosen.runs if wanted.about_runs else None) as session:
        table = reports.run(session, wanted, {**values, "trace": entry.id if entry else None})
    notes = (*chosen.notes, *_uneven(table), *caveats(traces))
    return Reported(wanted, table, subject(traces), tuple(unmet(wanted, traces, chosen.runs)), notes)


def report(
    store_path: str,
    name: str,
    values: Mapping[str, str | int | None],
    form: Format,
    output: str | None,
    params: Sequence[str] = (),
    all_settings: bool = False,
) -> None:
    """Print a report: with what it is about, how far to trust it, and what it would need."""
    reported = ask(Store(store_path), name, values, parse_assignments(params), all_settings)
    if form == "table" and output is None:
        shown = look()
        put("\n".join([reported.text(shown), *(shown.fill(step, "  ") for step in _next_steps(name))]) + "\n")
        return
    show(reported.table, form, output)
    for line in (*reported.needs, *reported.notes, *_next_steps(name)):
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


def list_reports(form: Format, output: str | None) -> None:
    """All reports with the questions that they answer and the options that they take."""
    table = reports.listing()
    if form == "table" and output is None:
        put("\n".join(map(_listed, table.to_pylist())))
    else:
        show(table, form, output)


def _listed(row: Mapping[str, Any]) -> str:
    questions = "".join(textwrap.fill(text, 80, initial_indent="    ", subsequent_indent="    ") + "\n" for text in row["questions"])
    options = " ".join(f"--{name}" for name in row["parameters"] if name in _OPTIONS)
    return f"{textwrap.fill(row['report'] + ': ' + row['title'], 80, subsequent_indent='  ')}\n{questions}    {options}\n"
