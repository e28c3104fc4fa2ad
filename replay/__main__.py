"""The program, as `replay` and as `python -m replay`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line. What start-up makes stays: to look for garbage in it takes a tenth of a short command's time."""
    gc.disable()
    from replay.cli import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
