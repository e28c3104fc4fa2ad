"""The program, as `replay` and as `python -m replay`."""

from __future__ import annotations

import gc
import os


def main() -> None:
    """Run the command line, in a process that is ours alone and soon over."""
    # numpy would start a thread per CPU for multiplying matrices, which takes as long as its whole import; nothing here multiplies any.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Few cycles come into being, and each look for garbage goes through the objects of all modules, a tenth of a short command's time.
    gc.set_threshold(100_000, 50, 50)
    from replay.cli import main as run

    gc.freeze()
    run()


if __name__ == "__main__":
    main()
