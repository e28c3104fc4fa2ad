"""Record a trace: set up probes, run the recorder, keep the state of the system beside the trace, and clean up on any exit."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from replay.dynamicevents import DynamicEvents
from replay.errors import ReplayError, UsageError
from replay.humane import number, size
from replay.interrupts import Interrupted, Interrupts
from replay.kernel import describe, find_tracing
from replay.procfs import memory_regions, take_snapshot
from replay.recorder import Request, arguments, choose_recorder, lost_events, output_of, script
from replay.recordplan import Missing, Plan, make_plan
from replay.statefile import SystemState, state_path, write_state

_LOOK_SECONDS = 0.05


def record(request: Request) -> int:
    """The exit status: 0, that of a workload that perf ran, or 128 and the signal that ended the recording."""
    _check(request)
    tracing = find_tracing()
    recorder = choose_recorder(request.recorder, request.dry_run)
    plan = make_plan(describe(tracing))
    argv = arguments(request, recorder, plan, _clocks(tracing))
    if request.dry_run:
        sys.stdout.write(script(plan, argv, tracing))
        _tell(plan.missing)
        return 0
    if os.geteuid():
        raise ReplayError("recording takes root", hint="run replay record with sudo")
    events = DynamicEvents(tracing)
    with events.locked(), Interrupts() as interrupts:
        try:
            return _Recording(request, recorder, plan, events, interrupts).run()
        except Interrupted as interrupted:
            return interrupted.status


def _check(request: Request) -> None:
    if not (request.command or request.everything or request.pid):
        raise UsageError("nothing to record", hint="replay record -- ./workload, -a for the whole system, or -p PID")
    if request.command and request.pid:
        raise UsageError("a command and -p exclude each other", hint="recording ends with the one or with the other")
    if request.command and request.seconds:
        raise UsageError("a recording ends with its command: -d is for -a and -p", hint="timeout of coreutils ends a command")
    # What is only printed may be run on another machine.
    if request.command and not request.dry_run and shutil.which(request.command[0]) is None:
        raise UsageError(f"there is no command {request.command[0]}")
    if request.recorder not in (None, "trace-cmd", "perf"):
        raise UsageError(f"cannot record with {request.recorder}", hint="trace-cmd and perf can")


class _Recording:
    """One recording, from the first probe to the last."""

    def __init__(self, request: Request, recorder: str, plan: Plan, events: DynamicEvents, interrupts: Interrupts) -> None:
        self.request, self.recorder, self.plan, self.events, self.interrupts = request, recorder, plan, events, interrupts
        self.output = output_of(request, recorder)
        self.state = SystemState()
        self.enabled: frozenset[str] = frozenset()

    def run(self) -> int:
        stale = self.events.remove()
        if stale:
            _say(f"removed {stale} probes that a recording had left which was killed")
        self.enabled = self.events.enabled()
        try:
            self.plan.definitions, refused = self.events.define(self.plan.definitions)
            self.plan.missing += refused
            _tell(self.plan.missing)
            return self._record()
        finally:
            with self.interrupts.held_off():
                self.events.disable(sorted(self.events.enabled() - self.enabled))
                self.events.remove()

    def _record(self) -> int:
        with suppress(FileNotFoundError):
            os.unlink(state_path(self.output))
        regions = memory_regions()
        self._keep(take_snapshot(self.request.everything, self.request.pid))
        self.state.regions = regions
        argv = arguments(self.request, self.recorder, self.plan, _clocks(self.events.tracing))
        if not self.request.lasting:
            _say("recording until an interrupt (Ctrl-C)")
        began = time.monotonic()
        recorder = self.interrupts.start(argv)
        while recorder.poll() is None and not self._records():
            time.sleep(_LOOK_SECONDS)
        if recorder.poll() is None and self.recorder == "trace-cmd":
            # What was mapped before this and is not here has been recorded.
            self._keep(take_snapshot(self.request.everything, self.request.pid))
        status = recorder.wait()
        return self._finish(status, time.monotonic() - began)

    def _keep(self, state: SystemState) -> None:
        state.recorder, state.regions = self.recorder, self.state.regions
        state.missing = [asdict(missing) for missing in self.plan.missing]
        self.state = state

    def _records(self) -> bool:
        """Whether recording has begun; perf tells of mappings itself."""
        if self.recorder == "perf":
            return True
        return self.events.is_recording(self.enabled)

    def _finish(self, status: int, seconds: float) -> int:
        self.interrupts.child = None
        written = os.path.exists(self.output) and os.path.getsize(self.output)
        if not written or (status and self.recorder == "trace-cmd"):
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise ReplayError(f"{self.recorder} {how}", where=self.output, hint="the probes are removed; what it wrote may not be whole")
        write_state(state_path(self.output), self.state)
        _hand_over(self.output, state_path(self.output))
        self._report(written, seconds)
        return self.interrupts.status or status

    def _report(self, written: int, seconds: float) -> None:
        state, plan = self.state, self.plan
        enabled = f"{len(plan.definitions)} probes, {len(plan.tracepoints)} tracepoints"
        _say(f"{self.output}: {size(written)} in {seconds:.1f} s by {self.recorder}; {enabled}")
        before = "memory regions unknown (no rdma of iproute2)" if state.regions is None else f"{number(len(state.regions))} memory regions"
        left_out = f", {number(state.skipped)} more left out for their size" if state.skipped else ""
        _say(f"{state_path(self.output)}: mappings of {number(len(state.processes))} processes{left_out}, {before}")
        lost = lost_events(self.output, self.recorder)
        if lost:
            _say(f"the kernel lost {number(lost)} events: record again with larger buffers (-b {self.request.buffer_kb * 4}) or less load")
        _say(f"next: replay ingest {self.output}")


def _hand_over(*paths: str) -> None:
    """Who records with sudo is to ingest without."""
    if os.environ.get("SUDO_UID", "").isdigit() and os.environ.get("SUDO_GID", "").isdigit():
        for path in paths:
            os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]), follow_symlinks=False)


def _tell(missing: list[Missing]) -> None:
    for each in missing:
        _say(f"not recorded: {each.what}: {each.why}; {each.cost}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _clocks(tracing: Path) -> list[str]:
    return (tracing / "trace_clock").read_text().replace("[", " ").replace("]", " ").split()
