"""Record a trace: set up probes, run the recorder, keep the state of the system beside the trace, and clean up on any exit."""

from __future__ import annotations

import sys
from pathlib import Path

from replay.errors import UsageError
from replay.kernel import describe, find_tracing
from replay.recorder import Request, arguments, choose_recorder, script
from replay.recordplan import Missing, make_plan


def record(request: Request) -> int:
    """The exit status."""
    tracing = find_tracing()
    recorder = choose_recorder(request.recorder, request.dry_run)
    plan = make_plan(describe(tracing))
    argv = arguments(request, recorder, plan, _clocks(tracing))
    if request.dry_run:
        sys.stdout.write(script(plan, argv, tracing))
        tell(plan.missing)
        return 0
    raise UsageError("recording itself is not there yet", hint="run what --dry-run prints")


def tell(missing: list[Missing]) -> None:
    """Say what is not recorded, and what that costs."""
    for each in missing:
        sys.stderr.write(f"not recorded: {each.what}: {each.why}; {each.cost}\n")


def _clocks(tracing: Path) -> list[str]:
    return (tracing / "trace_clock").read_text().replace("[", " ").replace("]", " ").split()
