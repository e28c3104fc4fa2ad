"""Made-up loads of any size, the same each time: requests for a cache simulator, and a trace's columns for the replay.

    PYTHONPATH=tests python -m bench.synthetic requests 10000000 build/bench/requests.bin
    PYTHONPATH=tests python -m bench.synthetic replay 10000000 none

Both take a million objects, or pages, in the proportions of Zipf's law. The second prints how long the replay loop took.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

OBJECTS = 1_000_000
_SEED = 20190430
_FILES = 64
_PINNED_SHARE = 0.6  # of a file's pages, from its beginning on
_TASKS = 8

# What happens to a page when it is visited, as soft-RoCE over ext4 shows it: operation, delay in ns, task. There is no wb_end:
# the engine leaves such rows out before the loop, and requests that nobody looks at would be no measure of it.
_VISIT = (
    ("remote_write", 0, 0),
    ("dirty", 400, 0),
    ("wb_start", 2_000_000, 1),
    ("remote_read", 2_300_000, 2),
)


def choose_objects(count: int) -> Numbers:
    """Numbers of objects, the frequent ones scattered over all."""
    generator = np.random.default_rng(_SEED)
    shares = np.cumsum(1.0 / np.arange(1, OBJECTS + 1))
    ranks = np.searchsorted(shares, generator.random(count) * shares[-1]).astype(np.int64)
    scattered: Numbers = generator.permutation(OBJECTS).astype(np.int64)
    return scattered[ranks]


def write_requests(path: str, count: int) -> None:
    """In libCacheSim's format oracleGeneral: u32 time, u64 object, u32 size, i64 next access (-1: not known)."""
    requests = np.zeros(count, np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")]))
    requests["time"] = np.arange(count) // 1000
    requests["object"] = choose_objects(count)
    requests["size"], requests["next"] = 1, -1
    requests.tofile(path)


def columns(count: int) -> dict[str, npt.NDArray[np.generic]]:
    """A trace of so many rows for the engine: pages that devices write while the kernel writes them back."""
    from replay.schema import OPS

    visits = -(-count // len(_VISIT))
    page = np.repeat(choose_objects(visits), len(_VISIT))[:count]
    ops, delays, tasks = (np.array(column) for column in zip(*_VISIT, strict=True))
    begin = np.repeat(np.arange(visits, dtype=np.int64) * 1000, len(_VISIT))[:count]
    ts = begin + np.tile(delays.astype(np.int64), visits)[:count]
    order = np.argsort(ts, kind="stable")
    page, ts = page[order], ts[order]
    op = np.tile([OPS.index(name) for name in ops], visits)[:count][order].astype(np.int8)
    per_file = OBJECTS // _FILES
    file = (page // per_file).astype(np.int32)
    remote = np.isin(op, [OPS.index("remote_write"), OPS.index("remote_read")])
    none = np.full(count, -1, np.int64)
    return {
        "row_ts": ts,
        "row_op": op,
        "row_task": np.tile(tasks, visits)[:count][order].astype(np.int32),
        "row_file": file,
        "row_slot": page,
        "row_nslots": np.ones(count, np.int64),
        "row_index": page % per_file,
        "row_npages": np.ones(count, np.int64),
        "row_dur": none,
        "row_bytes": np.where(remote, 4096, -1),
        "row_pin": none.astype(np.int32),
        "row_region": np.where(remote, file, -1).astype(np.int32),
        "row_flags": np.full(count, 64, np.uint8),  # ROW_RANGE of _ext/world.pxd
        **_entities(per_file),
    }


def _entities(per_file: int) -> dict[str, npt.NDArray[np.generic]]:
    """Files of equal size, each with one region that pins its first pages for the whole trace."""
    files = np.arange(_FILES, dtype=np.int64)
    ones = np.ones(_FILES, np.uint8)
    return {
        "task_owner": np.arange(_TASKS, dtype=np.int32),
        "task_kworker": (np.arange(_TASKS) == 1).astype(np.uint8),
        "file_slot": files * per_file,
        "file_nslots": np.full(_FILES, per_file, np.int64),
        "file_dax": np.zeros(_FILES, np.uint8),
        "file_memory": np.zeros(_FILES, np.uint8),
        "pin_slot": files * per_file,
        "pin_npages": np.full(_FILES, int(per_file * _PINNED_SHARE), np.int64),
        "pin_file": files.astype(np.int32),
        "pin_region": files.astype(np.int32),
        "pin_task": np.zeros(_FILES, np.int32),
        "pin_write": ones,
        "pin_longterm": ones,
        "pin_preexisting": ones,
        "pin_released": np.zeros(_FILES, np.uint8),
        "region_task": np.zeros(_FILES, np.int32),
        "region_device": np.full(_FILES, -1, np.int32),
        "region_write": ones,
        "run_slot": files * per_file,
        "run_index": np.zeros(_FILES, np.int64),
        "run_npages": np.full(_FILES, per_file, np.int64),
        "reuse_row": np.empty(0, np.int32),
        "reuse_slot": np.empty(0, np.int64),
        "reuse_npages": np.empty(0, np.int64),
    }


def replay_seconds(count: int, policy: str) -> tuple[float, int]:
    """How long the loop took, and how many conflicts it found. They are handed on and counted a block at a time, as a run stores them."""
    from replay._ext.engine import PARAMS, replay
    from replay._ext.recording import Trace
    from replay.outcomes import CLASSES
    from replay.params import numbers, parse_params
    from replay.policies import find_policy

    trace = Trace(columns(count))
    decisions = np.array(find_policy(policy).numbers(), np.int64)
    params = np.array(numbers(parse_params({}), PARAMS), np.int64)
    by_class = np.zeros(len(CLASSES), np.int64)

    def count(conflicts: dict[str, npt.NDArray[np.integer]]) -> None:
        nonlocal by_class
        by_class += np.bincount(conflicts["class"], minlength=len(CLASSES))

    begin = time.perf_counter()
    count(replay(trace, decisions, params, count)["conflicts"])
    return time.perf_counter() - begin, int(by_class.sum())


def main() -> None:
    match sys.argv[1:]:
        case ["requests", count, path]:
            write_requests(path, int(count))
        case ["replay", count, policy]:
            seconds, conflicts = replay_seconds(int(count), policy)
            sys.stdout.write(f"{seconds:.6f} seconds, {conflicts} conflicts\n")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
