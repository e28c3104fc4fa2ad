"""Looks inside the built sdist and wheel: a wheel without the extension or the .sql files must not pass.

usage: python tests/check_package.py dist
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def expected_in_wheel() -> set[str]:
    """Every module, query, stub and compiled module that the source tree holds, by its installed name."""
    names = {f"replay/{path.name}" for path in (ROOT / "replay").glob("*.py")}
    names |= {f"replay/ingest/{path.name}" for path in (ROOT / "ingest").glob("*.py")}
    names |= {f"replay/queries/{path.name}" for path in (ROOT / "queries").glob("*.sql")}
    names |= {f"replay/_ext/{path.name}" for path in (ROOT / "_ext").glob("*.pyi")}
    return names | {"replay/py.typed", "replay/report.css", "replay/report.js"}


def check(folder: Path) -> list[str]:
    """Return what is missing, one line each."""
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    missing = [f"{wheel.name}: {name}" for name in sorted(expected_in_wheel() - inside)]
    for module in sorted((ROOT / "_ext").glob("*.pyx")):
        if not any(name.startswith(f"replay/_ext/{module.stem}.") and name.endswith(".so") for name in inside):
            missing.append(f"{wheel.name}: compiled {module.stem}")
    with tarfile.open(sdist) as archive:
        sources = {name.split("/", 1)[-1] for name in archive.getnames()}
    needed = {
        str(path.relative_to(ROOT)) for folder_name in ("_ext", "queries", "ingest", "replay") for path in (ROOT / folder_name).glob("*.*")
    }
    kinds = (".py", ".pyx", ".pxd", ".pyi", ".sql", ".css", ".js")
    missing += [f"{sdist.name}: {name}" for name in sorted(needed - sources) if name.endswith(kinds)]
    return missing


if __name__ == "__main__":
    problems = check(Path(sys.argv[1]))
    sys.stdout.write("".join(f"missing from {problem}\n" for problem in problems) or "the packages are complete\n")
    raise SystemExit(bool(problems))
