"""What the commands do, as plain functions: the command line parses and calls these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replay.archive import Archive
from replay.console import PLAIN_WANTED, look, put, say, show
from replay.progress import Bar
from replay.render import Format
from replay.store import Entry

if TYPE_CHECKING:
    from replay.export import TableForm
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
    from replay.summary import ingested, ingested_all

    archive = Archive(store_path, create=True)
    found = find_traces(paths)
    if found.traces == tuple(paths) and len(paths) == 1:
        with Bar(os.path.basename(paths[0]), counts_bytes=True) as bar:
            summary = archive.ingest(paths[0], progress=bar.update)
        put(ingested(summary))
        return 0
    refused = [str(error) for error in found.refused]
    fresh = known = 0
    with Bar("ingest") as bar:
        for number, outcome in enumerate(ingest_many(archive.store, found.traces), 1):
            bar.clear()
            say(f"[{number}/{len(found.traces)}] {outcome.path}{': refused' if outcome.refusal else ''}")
            if outcome.summary is None:
                refused.append(outcome.refusal)
            else:
                known += outcome.summary.already
                fresh += not outcome.summary.already
                put(ingested(outcome.summary))
            bar.update(number, len(found.traces))
    put(ingested_all(fresh, known, len(refused), found.others))
    for refusal in refused:
        say(f"replay: {refusal}")
    return 1 if refused else 0


def run(wanted: RunRequest, form: Format, output: str | None) -> None:
    """Replay, and show a line for each run."""
    from replay.params import parse_assignments
    from replay.session import Session

    archive = Archive(wanted.store)
    params = parse_assignments(wanted.params)
    entries = archive.chosen(wanted.trace, "replay")
    with Bar(f"replaying {entries[0].row['source'] if len(entries) == 1 else f'all {len(entries)} traces'}") as bar:
        done = archive.run(
            wanted.policies, params=params, trace=wanted.trace, policy_file=wanted.policy_file, jobs=wanted.jobs, progress=bar.update
        )
    if len(entries) > 1:
        say(f"replayed all {len(entries)} traces; choose one with --trace")
    kept = sum(summary.already for summary in done)
    if kept:
        say(f"{kept} of {len(done)} runs were in the store already")
    with Session(archive.store) as session:
        _show_runs(session, entries, [summary.run for summary in done], form, output)


def sweep(wanted: RunRequest, traces: Sequence[str], form: Format, output: str | None) -> None:
    """Replay at every point of a grid, and show a line for each."""
    from replay.grid import parse_axes
    from replay.sweepplot import draw_sweep

    with Bar("replaying") as bar:
        done = Archive(wanted.store).sweep(
            wanted.policies,
            parse_axes(wanted.params),
            traces=traces,
            policy_file=wanted.policy_file,
            jobs=wanted.jobs,
            progress=bar.update,
        )
    kept = sum(point.already for point in done.points)
    if kept:
        say(f"{kept} of {len(done.points)} runs were in the store already")
    if form == "table" and output is None:
        shown = look()
        drawn = "" if PLAIN_WANTED.get() else draw_sweep(done, shown)
        put(f"{done.reported.text(shown)}\n" + (f"\n{drawn}" if drawn else ""))
    else:
        show(done.reported.table, form, output)


def _show_runs(session: Session, entries: Sequence[Entry], done: Sequence[str], form: Format, output: str | None) -> None:
    from replay import reports
    from replay.summary import subject

    found = reports.load("runs")
    table = reports.run(session, found, {"runs": " ".join(done)})
    if form == "table" and output is None:
        shown = look()
        put(f"{shown.fill(subject(entries))}\n\n{reports.as_text(found, table, shown)}")
        say("compare them: replay report")
    else:
        show(table, form, output)


def policies(policy_file: str | None, form: Format, output: str | None) -> None:
    """The decision table."""
    import pyarrow as pa

    from replay.policies import list_policies, read_policies

    user = read_policies(policy_file).values() if policy_file else ()
    show(pa.Table.from_pylist(list_policies(user)), form, output, spare=["proposed_by"])


def validate(store_path: str, trace: str | None, misses: bool, form: Format, output: str | None) -> int:
    """The replay against the recorded kernel; exit status 1 if they differ by more than is tolerated."""
    from replay.validate import as_text

    with Bar("validate") as bar:
        result = Archive(store_path).validate(trace, progress=bar.update)
    if form == "table" and output is None:
        put(as_text(result, look(), misses=misses))
        return int(result.failed)
    show(result.misses if misses else result.table, form, output)
    for line in result.notes:
        say(line)
    return int(result.failed)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What `replay export` is asked for: a timeline, and folders of tables."""

    store: str
    trace: str | None
    policy: str | None
    perfetto: str | None
    parquet: str | None
    csv: str | None


def export(wanted: ExportRequest) -> None:
    """A timeline, tables, or both."""
    archive = Archive(wanted.store)
    if wanted.perfetto:
        with Bar(f"drawing {wanted.perfetto}") as bar:
            archive.export_perfetto(wanted.perfetto, trace=wanted.trace, policy=wanted.policy, progress=bar.update)
        say(f"{wanted.perfetto}: open it at https://ui.perfetto.dev, or with trace_processor_shell")
    folders: dict[TableForm, str | None] = {"parquet": wanted.parquet, "csv": wanted.csv}
    for form, folder in folders.items():
        if folder:
            with Bar(f"writing {folder}") as bar:
                archive.export_tables(folder, form, trace=wanted.trace, policy=wanted.policy, progress=bar.update)


def list_params(form: Format, output: str | None) -> None:
    """Every parameter of the timing model, as `--param` takes it."""
    import pyarrow as pa

    from replay.params import PARAMS

    rows = [
        {"parameter": param.name, "default": param.default, "or": " ".join(param.choices[1:]), "meaning": param.doc, "source": param.source}
        for param in PARAMS
    ]
    show(pa.Table.from_pylist(rows), form, output, spare=["source"])
