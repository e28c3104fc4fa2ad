"""Builds the compiled core, and lays out build/tree.

REPLAY_BUILD chooses the mode: release (the default, bounds checks on), debug (no optimisation, every check of Cython),
sanitize (debug with AddressSanitizer and UndefinedBehaviorSanitizer), fuzz (sanitize for clang, with libFuzzer's
coverage; `make fuzz`), none (nothing is compiled: an editable install whose core `setup.py build_ext --inplace` builds
incrementally). No safety directive stands in any .pyx file: a header there would win over these.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
TREE = ROOT / "build" / "tree"
MODULES = (
    "rowgroups",
    "ringbuffer",
    "vocabulary",
    "columns",
    "textlines",
    "textfields",
    "perfsamples",
    "perfrecords",
    # lowering, in order of who builds on whom
    "addresses",
    "state",
    "remote",
    "pincalls",
    "regions",
    "unpins",
    "releases",
    "operations",
    "identity",
    "words",
    "touched",
    "settling",
    "slotruns",
    "packing",
    "feed",
    "known",
    "eventcolumns",
    # the replay, in order of who builds on whom
    "world",
    "history",
    "outcomes",
    "scheduler",
    "blocks",
    "pages",
    "device",
    "admit",
    "writeback",
    "reregister",
    "inodelock",
    "lease",
    "layout",
    "shortcuts",
    "recording",
    "engine",
)

MODE = os.environ.get("REPLAY_BUILD", "release")
WARNINGS = ["-Wno-unused-function"]
C_FLAGS = {
    "release": ["-O3", *WARNINGS],
    "debug": ["-O0", "-g", *WARNINGS],
    "sanitize": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", *WARNINGS],
    # No runtime is linked: make fuzz preloads the one that knows both libFuzzer and AddressSanitizer.
    "fuzz": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined,fuzzer-no-link", *WARNINGS],
}
LINK_FLAGS = {"release": [], "debug": [], "sanitize": ["-fsanitize=address,undefined"], "fuzz": []}
if MODE not in {*C_FLAGS, "none"}:
    raise SystemExit(f"REPLAY_BUILD={MODE}: expected one of {', '.join(C_FLAGS)}, none")

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": True,
    "wraparound": False,
    "initializedcheck": True,
    "cdivision": MODE in {"release", "fuzz"},
    "overflowcheck": MODE not in {"release", "fuzz"},
    "embedsignature": False,
    "show_performance_hints": False,
}


def lay_out_tree() -> None:
    """Mirror the import layout with links, since Cython and mypy find modules by path only."""
    package = TREE / "replay"
    package.mkdir(parents=True, exist_ok=True)
    for link in package.iterdir():
        link.unlink()
    for source in (ROOT / "replay").iterdir():
        if source.suffix in {".py", ".pyi", ".typed"}:
            (package / source.name).symlink_to(source)
    for folder in ("ingest", "queries", "_ext"):
        (package / folder).symlink_to(ROOT / folder)


lay_out_tree()
setup(
    ext_modules=cythonize(
        [
            Extension(
                f"replay._ext.{name}",
                [f"_ext/{name}.pyx"],
                extra_compile_args=C_FLAGS[MODE],
                extra_link_args=LINK_FLAGS[MODE],
            )
            for name in (MODULES if MODE != "none" else ())
        ],
        include_path=[str(TREE)],
        compiler_directives=DIRECTIVES,
        build_dir=f"build/cython-{MODE}",
        nthreads=os.cpu_count() or 1,
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
