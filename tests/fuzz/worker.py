"""The process that fuzzes one target. run.py starts it with the instrumented core and libFuzzer's runtime preloaded.

A finding is any exception but a ReplayError, a sanitizer's report, more than 10 s for one input, or more memory than
MEMORY_SLACK + MEMORY_MULTIPLE times the input.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import mmap
import os
import sys
import weakref
import zlib
from pathlib import Path

import atheris

MEMORY_SLACK = 128 << 20
MEMORY_MULTIPLE = 1024
_COLLECT_EVERY = 256
# Lowering takes half of the time of an execution, and its input is what the decoder lets through.
_LOWER_EVERY = 4

_C = ctypes.CDLL(None)
_C.malloc.restype, _C.malloc.argtypes, _C.free.argtypes = ctypes.c_void_p, (ctypes.c_size_t,), (ctypes.c_void_p,)


class TooMuchMemoryError(Exception):
    """An input made the decoder take more memory than its size allows."""


def _heap_copy(fileno: int, _length: int, **_: object) -> memoryview:
    """Instead of a mapping, whose last page hides reads past the end: AddressSanitizer knows where this ends, to the byte."""
    size = os.fstat(fileno).st_size
    place = _C.malloc(size)
    if not place:
        raise MemoryError
    held = (ctypes.c_ubyte * size).from_address(place)
    weakref.finalize(held, _C.free, place)
    view = memoryview(held).cast("B")
    os.preadv(fileno, [view], 0)
    return view


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))


def _forget_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
        control.write("5")


class Harness:
    def __init__(self, target: str) -> None:
        with atheris.instrument_imports(include=["replay"]):
            self.target = importlib.import_module(f"fuzz.{target}")
            for module in self.target.MODULES:
                importlib.import_module(module)
            self.refusal = importlib.import_module("replay.errors").ReplayError
        self.file = os.memfd_create("input")
        self.path = f"/proc/self/fd/{self.file}"
        self.count = 0

    def __call__(self, data: bytes) -> None:
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, data, 0)
        self.count += 1
        if self.count % _COLLECT_EVERY == 0:
            gc.collect()
        before = _status("VmRSS")
        _forget_peak()
        with contextlib.suppress(self.refusal):
            self.target.decode(self.path, whole=zlib.crc32(data) % _LOWER_EVERY == 0)
        taken = _status("VmHWM") - before
        if taken > MEMORY_SLACK + MEMORY_MULTIPLE * len(data):
            raise TooMuchMemoryError(f"{taken} bytes for an input of {len(data)}")


def main() -> None:
    target, *flags = sys.argv[1:]
    mmap.mmap = _heap_copy  # type: ignore[assignment,misc]
    harness = Harness(target)
    core = importlib.import_module("replay").__file__ or ""
    if not Path(core).resolve().is_relative_to(Path(os.environ["REPLAY_FUZZ_LIB"]).resolve()):
        sys.exit(f"fuzz: {core} is not the instrumented build")
    gc.disable()
    atheris.Setup([sys.argv[0], *flags], harness)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
