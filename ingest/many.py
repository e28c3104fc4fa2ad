"""Ingest of many files: finds the traces in directories, and reads several at once, each committed by itself.

Files are read in processes of their own, as many as there are CPUs and memory for. What comes out is in the order in which the
files were given, and does not depend on how many there are.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replay.errors import ReplayError, TraceError, reason
from replay.ingest.perfdirectory import files_of, is_perf_directory
from replay.ingest.pipeline import IngestSummary, content_hash, ingest_file
from replay.ingest.sniff import sniff
from replay.statefile import SUFFIX
from replay.store import Store, is_store

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

# What an ingest takes, measured: some for the libraries and a batch, and up to this many times a compressed file for its events.
_PROCESS_BYTES = 256 << 20
_BYTES_PER_FILE_BYTE = 64
# Less than this is read before another process has started.
_WORTH_A_PROCESS_BYTES = 4 << 20
_FIRST_LINES = 16
_LINE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Found:
    """What the user's paths stand for: traces in order, directories or parts of them that could not be read, other files."""

    traces: tuple[str, ...]
    refused: tuple[TraceError, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: either a summary or a refusal."""

    path: str
    summary: IngestSummary | None
    refusal: str


def find_traces(paths: Sequence[str]) -> Found:
    """Files as they are given; of directories, recursively and by name, the files that hold a trace in a known format."""
    traces: list[str] = []
    refused: list[TraceError] = []
    others = 0
    for path in paths:
        if not _is_directory(path) or is_perf_directory(path):
            traces.append(path)
            continue
        files, errors = _walk(path)
        held = [file for file in files if _holds_trace(file)]
        if not held and not errors:
            errors.append(TraceError(path, None, f"no trace in this directory ({len(files)} other files)"))
        traces += held
        refused += errors
        others += len(files) - len(held)
    return Found(tuple(traces), tuple(refused), others)


def _is_directory(path: str) -> bool:
    try:
        return os.path.isdir(path)
    except ValueError:  # a name with a NUL, which the reader refuses
        return False


def _walk(root: str) -> tuple[list[str], list[TraceError]]:
    """Regular files and perf.data directories below, sorted by name in each directory; not stores, nor the state beside a trace."""
    files: list[str] = []
    errors: list[TraceError] = []

    def failed(error: OSError) -> None:
        errors.append(TraceError(error.filename, None, (error.strerror or "cannot be read").lower()))

    for folder, below, names in os.walk(root, onerror=failed):
        whole = {name for name in below if is_perf_directory(os.path.join(folder, name))}
        below[:] = sorted(name for name in below if name not in whole and not is_store(os.path.join(folder, name)))
        paths = (os.path.join(folder, name) for name in sorted({*names, *whole}))
        files += [path for path in paths if os.path.isfile(path) or os.path.isdir(path)]
    traces = set(files)
    return [file for file in files if file.removesuffix(SUFFIX) not in traces or not file.endswith(SUFFIX)], errors


def _holds_trace(path: str) -> bool:
    """By content. A file that cannot be opened counts as one: the user is to hear of it."""
    try:
        return sniff(path) != "jsonl" or _is_events(path)
    except TraceError as error:
        return error.offset is None


def _is_events(path: str) -> bool:
    """Whether the first line that is not blank is an event: any JSON file begins like one."""
    with open(path, "rb") as file:
        for _ in range(_FIRST_LINES):
            line = file.readline(_LINE_BYTES)
            if line.strip():
                break
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and "op" in event


def ingest_many(store: Store, paths: Sequence[str], processes: int | None = None) -> Iterator[Outcome]:
    """Ingest the files, and say of each what became of it, in their order; by default in as many processes as are worth it."""
    sizes = [_size(path) for path in paths]
    copies = _copies(paths, sizes)
    firsts = [path for path, copy in zip(paths, copies, strict=True) if not copy]
    outcomes = _outcomes(store, firsts, processes or _processes(len(firsts), sizes))
    for path, copy in zip(paths, copies, strict=True):
        # Its original has been read by now, so that this only finds it; which of them is stored is not left to chance.
        yield _ingest(store, path) if copy else next(outcomes)


def _size(path: str) -> int:
    try:
        return sum(os.stat(file).st_size for file in files_of(path))
    except (OSError, ValueError):
        return 0


def _copies(paths: Sequence[str], sizes: Sequence[int]) -> list[bool]:
    """Which files have the content of an earlier one. Only files of one size are compared."""
    files_of = Counter(sizes)
    seen: set[tuple[int, str]] = set()
    copies = []
    for path, size in zip(paths, sizes, strict=True):
        content = ""
        if size and files_of[size] > 1:
            try:
                content = content_hash(path)
            except OSError:
                content = path
        copies.append(bool(content) and (size, content) in seen)
        seen.add((size, content))
    return copies


def _processes(files: int, sizes: Sequence[int]) -> int:
    """As many as there are CPUs, memory and work for; 1 means none besides our own."""
    memory = _available_bytes() // (_PROCESS_BYTES + _BYTES_PER_FILE_BYTE * max(sizes, default=0))
    return max(1, min(files, len(os.sched_getaffinity(0)), memory, sum(sizes) // _WORTH_A_PROCESS_BYTES))


def _available_bytes() -> int:
    """Memory that can be had without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as info:
            return next(int(line.split()[1]) << 10 for line in info if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _outcomes(store: Store, paths: Sequence[str], processes: int) -> Iterator[Outcome]:
    if processes == 1:
        yield from (_ingest(store, path) for path in paths)
        return
    from concurrent.futures.process import BrokenProcessPool

    with _pool(processes) as pool:
        futures = [pool.submit(_ingest, store, path) for path in paths]
        try:
            for path, future in zip(paths, futures, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    # One process was killed, and nobody says which file it had: each of the others gets a process of its own.
                    yield _ingest_alone(store, path)
        except BaseException:
            _stop(pool)
            raise


def _stop(pool: ProcessPoolExecutor) -> None:
    """Nobody waits for the rest: an interrupt of this process alone must not go on in the others."""
    from multiprocessing import active_children

    pool.shutdown(wait=False, cancel_futures=True)
    for process in active_children():
        process.terminate()


def _pool(processes: int) -> ProcessPoolExecutor:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # An interrupt kills them at once, and the staging folders that they leave are removed by the next writer.
    return ProcessPoolExecutor(processes, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_DFL))


def _ingest_alone(store: Store, path: str) -> Outcome:
    from concurrent.futures.process import BrokenProcessPool

    with _pool(1) as pool:
        try:
            return pool.submit(_ingest, store, path).result()
        except BrokenProcessPool:
            return Outcome(path, None, str(TraceError(path, None, "the process that read it was killed, perhaps for want of memory")))


def _ingest(store: Store, path: str) -> Outcome:
    try:
        return Outcome(path, ingest_file(store, path), "")
    except ReplayError as error:
        return Outcome(path, None, str(error))
    except OSError as error:
        return Outcome(path, None, str(TraceError(error.filename or path, None, reason(error))))
    except MemoryError:
        return Outcome(path, None, str(TraceError(path, None, "out of memory")))
