"""The command line of `replay record`, which needs no store."""

from __future__ import annotations

from typing import Annotated

import typer


def record(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", show_default=False, help="The workload; recording ends with it.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Record the system as it is, until -d or an interrupt.")] = False,
    seconds: Annotated[
        float | None, typer.Option("--duration", "-d", min=0.1, metavar="SECONDS", help="With -a or -p: for so long.")
    ] = None,
    pid: Annotated[int | None, typer.Option("--pid", "-p", min=1, metavar="PID", help="Record until this process ends.")] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The trace; default: trace.dat, or perf.data of perf.")
    ] = None,
    buffer_kb: Annotated[int, typer.Option("--buffer", "-b", min=64, max=1 << 22, metavar="KB", help="Kernel buffer of each CPU.")] = 8192,
    recorder: Annotated[
        str | None, typer.Option("--recorder", metavar="NAME", help="trace-cmd or perf; default: the first that is installed.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands as a shell script, and run nothing.")] = False,
) -> int:
    """Record a trace (as root).

    Sets up the probes that this kernel offers, runs trace-cmd or perf, and removes the probes at any exit. Says what is not recorded
    and what that costs. Keeps the mappings and memory regions that there were before in FILE.state, for ingest.
    """
    from replay.record import record as do_record
    from replay.recorder import Request

    wanted = Request(command or (), everything, seconds, pid, output, buffer_kb, recorder, dry_run)
    return do_record(wanted)
