"""What the commands do, as plain functions: the command line parses and calls these."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replay.console import Bar, put, say, show, show_rows
from replay.errors import ReplayError, UsageError
from replay.render import Format
from replay.store import Store

if TYPE_CHECKING:
    from replay.session import Session


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `replay run` is asked to do; no policies and no trace mean all of them."""

    store: str
    policies: Sequence[str] = ()
    params: Sequence[str] = ()
    trace: str | None = None
    jobs: int | None = None
    policy_file: str | None = None


def ingest(store_path: str, paths: Sequence[str]) -> int:
    """Ingest each file by itself, and the traces in directories; the exit status is 1 if anything was refused."""
    from replay.ingest.many import find_traces, ingest_many
    from replay.ingest.pipeline import ingest_file
    from replay.summary import ingested, ingested_all

    store = Store(store_path, create=True)
    found = find_traces(paths)
    if found.traces == tuple(paths) and len(paths) == 1:
        with Bar(os.path.basename(paths[0])) as bar:
            summary = ingest_file(store, paths[0], bar.update)
        put(ingested(summary))
        return 0
    refused = [str(error) for error in found.refused]
    fresh = known = 0
    for number, outcome in enumerate(ingest_many(store, found.traces), 1):
        say(f"[{number}/{len(found.traces)}] {outcome.path}{': refused' if outcome.refusal else ''}")
        if outcome.summary is None:
            refused.append(outcome.refusal)
            continue
        known += outcome.summary.already
        fresh += not outcome.summary.already
        put(ingested(outcome.summary))
    put(ingested_all(fresh, known, len(refused), found.others))
    for refusal in refused:
        say(f"replay: {refusal}")
    return 1 if refused else 0


def run(wanted: RunRequest, form: Format, output: str | None) -> None:
    """Replay, and show a line for each run."""
    from replay import runs
    from replay.params import parse_assignments
    from replay.policies import BY_NAME, read_policies
    from replay.session import Session

    store = Store(wanted.store)
    settings = parse_assignments(wanted.params)
    user = read_policies(wanted.policy_file) if wanted.policy_file else {}
    entries = [store.resolve_trace(wanted.trace)] if wanted.trace is not None else store.traces()
    if not entries:
        raise ReplayError("there is no trace to replay", where=wanted.store, hint="add one with: replay ingest TRACE")
    if len(entries) > 1:
        say(f"replaying all {len(entries)} traces; choose one with --trace")
    names = list(wanted.policies) or [*BY_NAME, *user]
    done = []
    for entry in entries:
        with Bar(f"replaying {entry.row['source']}") as bar:
            done += runs.run(store, entry.id, names, settings, wanted.jobs, bar.update, user)
    kept = sum(summary.already for summary in done)
    if kept:
        say(f"{kept} of {len(done)} runs were in the store already")
    with Session(store) as session:
        _show_runs(session, [summary.run for summary in done], form, output)


def _show_runs(session: Session, done: Sequence[str], form: Format, output: str | None) -> None:
    from replay import reports

    found = reports.load("runs")
    table = reports.run(session, found, {"runs": " ".join(done)})
    if form == "table" and output is None:
        put(reports.as_text(found, table))
        say("compare them: replay report")
    else:
        show(table, form, output)


def sql(store_path: str, query: str | None, form: Format, output: str | None, limit: int | None) -> None:
    """Run a SELECT from the argument, or from stdin for "-"."""
    from replay.session import Session

    if query is None:
        raise UsageError("no query", hint="replay sql 'select ...', or - to read it from stdin")
    if query == "-":
        query = sys.stdin.read()
    with Session(Store(store_path)) as session:
        if form in ("table", "json"):
            show_rows(*session.rows(query), form, output, limit)
        else:
            show(session.sql(query).arrow(), form, output)


def print_views(store_path: str, output: str | None) -> None:
    """The views as SQL text."""
    from replay.console import output as open_output
    from replay.session import views_script

    text = views_script(Store(store_path))
    with open_output(output) as out:
        out.write(text.encode())


def policies(policy_file: str | None, form: Format, output: str | None) -> None:
    """The decision table."""
    import pyarrow as pa

    from replay.policies import list_policies, read_policies

    user = read_policies(policy_file).values() if policy_file else ()
    show(pa.Table.from_pylist(list_policies(user)), form, output)


def validate(store_path: str, trace: str | None, misses: bool, form: Format, output: str | None) -> int:
    """The replay against the recorded kernel; exit status 1 if they differ by more than is tolerated."""
    from replay import validate as validation

    store = Store(store_path)
    entries = [store.resolve_trace(trace)] if trace is not None else store.traces()
    if not entries:
        raise ReplayError("there is no trace to validate", where=store_path, hint="add one with: replay ingest TRACE")
    result = validation.validate(store, entries)
    if form == "table" and output is None:
        put(validation.as_text(result, misses=misses))
        return int(result.failed)
    show(result.misses if misses else result.table, form, output)
    for line in result.notes:
        say(line)
    return int(result.failed)


def list_params(form: Format, output: str | None) -> None:
    """Every parameter of the timing model, as `--param` takes it."""
    import pyarrow as pa

    from replay.params import PARAMS

    rows = [
        {"parameter": param.name, "default": param.default, "or": " ".join(param.choices[1:]), "meaning": param.doc, "source": param.source}
        for param in PARAMS
    ]
    show(pa.Table.from_pylist(rows), form, output)
