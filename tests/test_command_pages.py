"""A page and examples for each command: made from its definition, up to date, and true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replay.cli import app, main
from replay.examples import EXAMPLES

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


def pages(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "command_pages.py"), *args], capture_output=True, text=True, timeout=60, check=False
    )


def test_pages_are_up_to_date() -> None:
    check = pages("--check")
    assert (check.returncode, check.stderr) == (0, ""), "write them with: make docs"
    assert {path.stem for path in (ROOT / "docs" / "commands").iterdir()} == {"replay", *(f"replay-{name}" for name in COMMANDS)}


def test_a_man_page_has_every_option_and_no_line_that_groff_doubts(tmp_path: Path) -> None:
    assert pages("--man", str(tmp_path)).returncode == 0
    for path in sorted(tmp_path.iterdir()):
        text = path.read_text().replace("\\-", "-")
        page = (ROOT / "docs" / "commands" / f"{path.stem}.md").read_text()
        options = re.findall(r"^- `(-[^`]*)`", page, re.MULTILINE)
        assert "-h, --help" in options
        assert all(f".B {option}\n" in text for option in options)
        if shutil.which("groff"):
            doubts = subprocess.run(["groff", "-man", "-ww", "-z", str(path)], capture_output=True, text=True, timeout=60, check=True)
            assert doubts.stderr == ""


def test_every_command_has_examples() -> None:
    assert set(EXAMPLES) == {"replay", *COMMANDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples name: a trace, recordings, a policy file, a query."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "recordings").mkdir()
    for name in ("trace.dat", "recordings/other.dat"):
        shutil.copy(ROOT / "sample_traces" / "lease-dax.dat", folder / name)
    (folder / "mine.toml").write_text('[policy.patient]\nwriteback = "bounce_sync"\n')
    (folder / "query.sql").write_text("SELECT count(*) FROM events\n")
    return folder


# Recording needs a kernel that lets itself be probed.
@pytest.mark.parametrize("line", [line for name, examples in EXAMPLES.items() if name != "record" for _, line in examples])
def test_examples_run(folder: Path, line: str) -> None:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("REPLAY_STORE", None)
    subprocess.run(line, shell=True, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_examples_as_they_are_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    text = capsys.readouterr().out
    for _, line in EXAMPLES[name]:
        assert f"\n    {line}\n" in text
