"""Do recordings show what their scenarios are for, and does the replay agree with the kernel on them?

    python check.py replay-lab/out          a folder of recordings, or single ones; needs the project installed

A recording's name is its scenario's; expected.toml says what each must show. Exit status 1 if anything is missing.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from replay.errors import UsageError
from replay.ingest.pipeline import ingest_file
from replay.session import Session
from replay.statefile import SUFFIX
from replay.store import Entry, Store
from replay.validate import validate

EXPECTED: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "expected.toml").read_text())


def recordings(paths: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Scenario and file of each recording that has expectations."""
    for path in map(Path, paths):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            scenario = file.name.split(".")[0].replace("-", "_")
            if scenario in EXPECTED and file.suffix != SUFFIX:
                yield scenario, file


def missing(store: Store, entry: Entry, scenario: str) -> dict[str, str]:
    """What the recording does not show, with the reason where it lacks an event or a field altogether."""
    lacking = {}
    with Session(store) as session:
        for sentence, query in EXPECTED[scenario].items():
            try:
                if not next(iter(session.sql(query, {"trace": entry.id}).rows()[0].values())):
                    lacking[sentence] = ""
            except UsageError as error:
                lacking[sentence] = f" ({error})"
    return lacking


def check(paths: Sequence[str]) -> bool:
    """Print a line for each expectation; true if all hold."""
    good, found = True, False
    for scenario, file in recordings(paths):
        found = True
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "store", create=True)
            entry = ingest_file(store, str(file)).entry
            lacking = missing(store, entry, scenario)
            validation = validate(store, [entry])
        for sentence in EXPECTED[scenario]:
            sys.stdout.write(f"{'MISSING' if sentence in lacking else 'seen':8}{file.name}: {sentence}{lacking.get(sentence, '')}\n")
        differ = [row["kind"] for row in validation.table.to_pylist() if row["within"] is False]
        sys.stdout.write(
            f"{'DIFFERS' if differ else 'agrees':8}{file.name}: replay and kernel{': ' if differ else ''}{', '.join(differ)}\n"
        )
        good &= not lacking and not differ
    if not found:
        sys.stderr.write("no recording of a scenario of expected.toml\n")
    return good and found


if __name__ == "__main__":
    sys.exit(0 if check(sys.argv[1:]) else 1)
