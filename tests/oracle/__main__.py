"""python -m tests.oracle --scenarios 20000, from the root of a checkout."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does: tests/oracle is imported as oracle
    from oracle.command import main

    sys.exit(main())
