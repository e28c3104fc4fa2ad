"""What the running kernel offers to a recording, read from tracefs, kallsyms and BTF."""

from __future__ import annotations

import os
import re
from pathlib import Path

from replay.btf import Layout, read_layout
from replay.errors import ReplayError
from replay.probes import PROBES
from replay.recordplan import Kernel

TRACING = Path("/sys/kernel/tracing")
_OLDER_TRACING = Path("/sys/kernel/debug/tracing")
_BTF = Path("/sys/kernel/btf/vmlinux")
_SYMBOLS = Path("/proc/kallsyms")
_STRUCTS = frozenset(("folio", "page", "address_space", "inode", "super_block", "file"))
_FLAGS = frozenset(("PG_head",))


def find_tracing() -> Path:
    """The folder where tracefs is mounted."""
    for folder in (TRACING, _OLDER_TRACING):
        try:
            if (folder / "available_events").exists():
                return folder
        except PermissionError:
            raise ReplayError("recording takes root", where=str(folder), hint="run replay record with sudo") from None
    if os.geteuid():
        raise ReplayError("recording takes root", hint="run replay record with sudo")
    raise ReplayError("tracefs is not mounted", where=str(TRACING), hint=f"mount -t tracefs tracefs {TRACING}")


def describe(tracing: Path, btf: Path = _BTF, symbols: Path = _SYMBOLS) -> Kernel:
    """Look at the kernel; nothing is changed."""
    try:
        readme = (tracing / "README").read_text()
        events = (tracing / "available_events").read_text().split()
    except PermissionError as error:
        raise ReplayError("recording takes root", where=error.filename, hint="run replay record with sudo") from None
    functions = frozenset(form.symbol for probe in PROBES for form in probe.forms)
    system = os.uname()
    return Kernel(
        release=system.release,
        machine=system.machine,
        functions=_present(symbols, functions) or _present(tracing / "available_filter_functions", functions),
        tracepoints=frozenset(events),
        layout=_layout(btf, functions),
        # The README of tracefs says what this kernel's dynamic events can do.
        kprobes=(tracing / "kprobe_events").exists(),
        fprobes=bool(re.search(r"^\s*(Format: )?f\[:", readme, re.MULTILINE)),
        named_arguments="->field" in readme,
        numbered_arguments="$arg<N>" in readme,
    )


def _present(symbols: Path, wanted: frozenset[str]) -> frozenset[str]:
    """Which of these functions the kernel and its modules have under their own name, so that they can be probed.

    kallsyms has lines of address, kind and name; available_filter_functions, which is without some, of the name; a module may follow.
    """
    try:
        with symbols.open() as file:
            names = (words[2] if len(words) > 2 else words[0] for line in file if (words := line.split(None, 3)))
            return frozenset(name for name in names if name in wanted)
    except OSError:
        return frozenset()


def _layout(btf: Path, functions: frozenset[str]) -> Layout | None:
    try:
        data = btf.read_bytes()
    except OSError:
        return None
    return read_layout(str(btf), data, _STRUCTS, _FLAGS, functions)
