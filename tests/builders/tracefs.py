"""A tracefs that is no more than a folder, and `replay record` on it with recorders that only pretend.

python tests/builders/tracefs.py FOLDER [ARGUMENT...]     replay record ARGUMENT... in FOLDER's tracefs
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

README = "$arg<N>\n"
# What it can do is in its environment: FAIL, an exit status; DIE, the signal that it sends to itself; EMPTY, to write nothing.
TRACE_CMD = """#!/bin/sh
tracing={tracing}
output= events=
shift
while [ $# -gt 0 ]; do
    case $1 in
        -o) output=$2; shift 2;;
        -e) events="$events $2"; shift 2;;
        -C|-b) shift 2;;
        -q) shift;;
        *) break;;
    esac
done
echo "$events" > {tracing}/../events-asked
finish() {{
    kill $work 2> /dev/null
    [ -n "$EMPTY" ] || cat {trace} > "$output"
    : > $tracing/set_event
    exit ${{FAIL:-0}}
}}
trap finish INT
cat $tracing/dynamic_events > {tracing}/../probes-then
printf '%s\\n' $events | sed 's/^replay$/replay:ib_umem_get/' >> $tracing/set_event
: > {tracing}/../recording
[ -z "$DIE" ] || kill -$DIE $$
if [ $# -gt 0 ]; then "$@" & else sleep 60 & fi
work=$!
wait $work
finish
"""


def make(root: Path, symbols: tuple[str, ...], tracepoints: tuple[str, ...], trace: Path, *, probes: str = "") -> Path:
    """A folder with tracefs, kallsyms and bin/trace-cmd."""
    tracing = root / "tracing"
    tracing.mkdir(parents=True)
    for name, text in {
        "README": README,
        "available_events": "".join(f"{name}\n" for name in tracepoints),
        "kprobe_events": "",
        "dynamic_events": probes,
        "set_event": "sched:sched_switch\n",
        "tracing_on": "1\n",
        "trace_clock": "[local] global mono\n",
    }.items():
        (tracing / name).write_text(text)
    for name in (*tracepoints, "replay/enable", "sched:sched_switch"):
        switch = tracing / "events" / name.replace(":", "/")
        switch.parent.mkdir(parents=True, exist_ok=True) if name == "replay/enable" else switch.mkdir(parents=True, exist_ok=True)
        (switch if name == "replay/enable" else switch / "enable").write_text("0")
    (root / "kallsyms").write_text("".join(f"0000000000000000 T {name}\n" for name in symbols))
    program = root / "bin" / "trace-cmd"
    program.parent.mkdir()
    program.write_text(TRACE_CMD.format(tracing=tracing, trace=trace))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tracing


def environment(root: Path, more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}", **more}


def _run(root: Path, arguments: list[str]) -> None:
    """In this process: what the kernel would do, the folder does."""
    from replay import dynamicevents, kernel, procfs, record
    from replay.cli import main

    tracing = root / "tracing"

    def write(self: dynamicevents.DynamicEvents, line: str) -> str:
        """The kernel's part: one line a probe, -: removes it; refuses what names a refused symbol."""
        lines = self.file.read_text().splitlines()
        name = line.split(maxsplit=1)[0].partition(":")[2]
        if any(word in line for word in os.environ.get("REFUSE", "").split()):
            return "bad argument"
        if line.startswith("-:"):
            if os.environ.get("BUSY"):
                return "device or resource busy"
            lines = [each for each in lines if each.split()[0].partition(":")[2] != name]
        else:
            lines.append(line)
        self.file.write_text("".join(f"{each}\n" for each in lines))
        return ""

    patches = ((dynamicevents.DynamicEvents, "_write", write), (dynamicevents, "_RELEASE_SECONDS", 0.2), (kernel, "TRACING", tracing))
    for place, name, value in patches:
        setattr(place, name, value)
    describe = kernel.describe
    record.describe = lambda tracing: describe(tracing, root / "no-btf", root / "kallsyms")
    record.memory_regions = lambda: [{"ifname": "rxe0", "mrn": 1, "mrlen": 4096, "pid": os.getpid()}]
    os.uname = lambda: os.uname_result(("Linux", "lab", "6.1.0-test", "#1", "x86_64"))
    os.geteuid = lambda: int(os.environ.get("REPLAY_TEST_EUID", "0"))
    assert procfs.PROC.exists()
    main(["record", *arguments])


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2:])
