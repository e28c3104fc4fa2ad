"""The command line: parse, then call a plain function. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from contextvars import copy_context
from typing import Annotated

import typer

from replay import completion
from replay.completion import store_path
from replay.errors import UsageError
from replay.examples import epilog
from replay.exits import clean_up_when_terminated, status_of
from replay.options import (
    FormatName,
    FormatOption,
    JobsOption,
    OutputOption,
    ParamsOption,
    PlainOption,
    PoliciesOption,
    PolicyFileOption,
    ReplayedParamsOption,
    ReplayedPolicyOption,
    StoreOption,
    SweptParamsOption,
    SweptPoliciesOption,
    TraceOption,
    TracesOption,
    VersionOption,
)
from replay.recordcli import record

app = typer.Typer(
    name="replay",
    help="Replay a recorded trace of long-term page pins under each policy that was proposed for them.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True, epilog=epilog("replay"))
def _top(
    context: typer.Context,
    store: StoreOption = None,
    plain: PlainOption = False,
    version: VersionOption = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command(epilog=epilog("ingest"))
def ingest(
    context: typer.Context,
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Files and directories to read; formats are told from content.")],
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Read traces into the store.

    Any number of files, told apart by their content; of a directory all files below it that hold a trace. Each is committed by
    itself: a bad file does not spoil the others. The same content again is not read twice.
    """
    from replay.commands import ingest as command

    raise typer.Exit(command(store_path(context, store), traces))


@app.command(epilog=epilog("run"))
def run(
    context: typer.Context,
    policy: PoliciesOption = None,
    param: ParamsOption = None,
    propagate: Annotated[
        str | None, typer.Option("--propagate", metavar="task|inode", help="Whom a delay moves; inode: also who queues for the inode lock.")
    ] = None,
    trace: TraceOption = None,
    policy_file: PolicyFileOption = None,
    jobs: JobsOption = None,
    form: FormatOption = FormatName.table,
    output: OutputOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Replay traces under policies.

    Without --policy under every built-in one, without --trace all traces of the store. Asking the same again costs nothing.
    """
    from replay.commands import RunRequest
    from replay.commands import run as command

    params = [*(param or ()), *([f"propagate={propagate}"] if propagate is not None else ())]
    wanted = RunRequest(store_path(context, store), policy or (), params, trace, jobs, policy_file)
    command(wanted, form.value, output)


@app.command(epilog=epilog("sweep"))
def sweep(
    context: typer.Context,
    policy: SweptPoliciesOption,
    param: SweptParamsOption,
    trace: TracesOption = None,
    policy_file: PolicyFileOption = None,
    jobs: JobsOption = None,
    form: FormatOption = FormatName.table,
    output: OutputOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Replay under every combination of parameters.

    One row for each: breaks that time out, waits, lost operations. A range A..B:N is geometric: each value is the same
    multiple of the one before. Without --trace all traces of the store.
    """
    from replay.commands import RunRequest
    from replay.commands import sweep as command

    wanted = RunRequest(store_path(context, store), policy, param, None, jobs, policy_file)
    command(wanted, trace or (), form.value, output)


@app.command(epilog=epilog("report"))
def report(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            show_default=False,
            help="Which report; without a name the overview that compares policies.",
            autocompletion=completion.report_names,
        ),
    ] = "overview",
    policy: ReplayedPolicyOption = None,
    trace: TraceOption = None,
    param: ReplayedParamsOption = None,
    all_settings: Annotated[bool, typer.Option("--all-settings", help="Also where a sweep has left many runs of a policy.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many rows per group.")] = None,
    every: Annotated[bool, typer.Option("--list", help="List all reports and what they answer.")] = False,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Compare the policies on one HTML page, with charts.")] = None,
    form: FormatOption = FormatName.table,
    output: OutputOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Answer a question about the runs.

    Without a name: the overview, which compares policies.
    """
    if html is not None:
        if name != "overview" or every or limit or output or form != FormatName.table:
            raise UsageError("--html compares the policies on a page of its own", hint="it goes with --policy, --trace and --param only")
        from replay.htmldata import Request
        from replay.htmlreport import write_page
        from replay.params import parse_assignments

        write_page(store_path(context, store), Request(trace, policy, parse_assignments(param or ()), all_settings), html)
        return
    from replay.reporting import list_reports
    from replay.reporting import report as command

    if every:
        list_reports(form.value, output)
    else:
        values = {"policy": policy, "trace": trace, "limit": limit}
        command(store_path(context, store), name, values, form.value, output, param or (), all_settings)


@app.command(epilog=epilog("sql"))
def sql(
    context: typer.Context,
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", show_default=False, help='A SELECT, or "-" to read it from stdin.')
    ] = None,
    views: Annotated[bool, typer.Option("--views", help="Print the views as SQL, for the duckdb shell: duckdb -init FILE.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="Rows of a text table; 0 for all.")] = 1000,
    form: FormatOption = FormatName.table,
    output: OutputOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Run a SELECT over the store.

    SHOW TABLES lists the views, DESCRIBE VIEW the columns of one. Nothing outside of the store is in reach.
    """
    from replay.sqlcommand import print_views
    from replay.sqlcommand import sql as command

    path = store_path(context, store)
    if views:
        print_views(path, output)
    else:
        command(path, query, form.value, output, limit or None)


@app.command(epilog=epilog("export"))
def export(
    context: typer.Context,
    perfetto: Annotated[str | None, typer.Option("--perfetto", metavar="FILE", help="A timeline for https://ui.perfetto.dev.")] = None,
    parquet: Annotated[str | None, typer.Option("--parquet", metavar="DIR", help="Every table as a Parquet file in a new folder.")] = None,
    csv: Annotated[str | None, typer.Option("--csv", metavar="DIR", help="Every table as a CSV file in a new folder.")] = None,
    trace: TraceOption = None,
    policy: ReplayedPolicyOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Give a trace and its runs to other programs.

    --perfetto shows one trace: files, memory regions and tasks as they were recorded, and stalls, conflicts and costs of each
    policy that it was replayed under.
    """
    from replay.commands import ExportRequest
    from replay.commands import export as command

    if not (perfetto or parquet or csv):
        raise UsageError("nothing to export", hint="--perfetto FILE, --parquet DIR or --csv DIR")
    command(ExportRequest(store_path(context, store), trace, policy, perfetto, parquet, csv))


@app.command(epilog=epilog("policies"))
def policies(
    policy_file: PolicyFileOption = None,
    params: Annotated[bool, typer.Option("--params", help="List the parameters instead: default, meaning, source.")] = False,
    form: FormatOption = FormatName.table,
    output: OutputOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> None:
    """Print what each policy decides.

    One line per built-in policy, one column for each of the five decisions.
    """
    from replay.commands import list_params
    from replay.commands import policies as command

    if params:
        list_params(form.value, output)
    else:
        command(policy_file, form.value, output)


@app.command(epilog=epilog("validate"))
def validate(
    context: typer.Context,
    trace: TraceOption = None,
    misses: Annotated[bool, typer.Option("--misses", help="List each writeback on which replay and kernel differ.")] = False,
    form: FormatOption = FormatName.table,
    output: OutputOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
) -> int:
    """Compare replay and kernel.

    One row per trace and kind: pinned writebacks (by the kernel's own pin counts), lease breaks and their time-outs, DAX
    waits, refused registrations, pins and cached pages. Exit status 1 if they differ by more than is tolerated.
    """
    from replay.commands import validate as command

    return command(store_path(context, store), trace, misses, form.value, output)


app.command(epilog=epilog("record"), context_settings={"allow_interspersed_args": False})(record)


def main(args: list[str] | None = None) -> None:
    """Run, and end with the status of what came of it."""
    if args is None:
        clean_up_when_terminated()
    sys.exit(status_of(lambda: copy_context().run(app, args, standalone_mode=False)))
