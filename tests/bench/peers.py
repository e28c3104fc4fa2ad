"""The programs that ours are measured against. None of their code is here: they are used where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_LIBTRACECMD = "libtracecmd"


@dataclass(frozen=True, slots=True)
class Peer:
    """`program` is None where it is missing; `hint` says how to have it."""

    name: str
    program: str | None
    hint: str


def libtracecmd_walk(work: Path) -> Peer:
    """walk.c, built against the installed libtracecmd."""
    name, hint = "libtracecmd walk", "a C compiler, pkg-config and the headers: apt install gcc pkg-config libtracecmd-dev"
    compiler, flags = shutil.which(os.environ.get("CC", "cc")), _flags()
    if compiler is None or flags is None:
        return Peer(name, None, hint)
    program = work / "walk"
    subprocess.run([compiler, "-O2", str(Path(__file__).with_name("walk.c")), "-o", str(program), *flags], check=True)
    return Peer(name, str(program), hint)


def _flags() -> list[str] | None:
    try:
        found = subprocess.run(["pkg-config", "--cflags", "--libs", _LIBTRACECMD], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.split()


def trace_cmd() -> Peer:
    return Peer("trace-cmd report", shutil.which("trace-cmd"), "apt install trace-cmd")


def cachesim() -> Peer:
    """libCacheSim's simulator."""
    program = shutil.which(os.environ.get("CACHESIM", "cachesim"))
    return Peer("libCacheSim FIFO", program, "build libCacheSim, then put cachesim on PATH or its place into CACHESIM")
