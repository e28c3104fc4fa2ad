"""Outputs in the documentation are real. Each command of the README's console blocks is run as written, in order, and prints what
stands there; so is each Python block of docs/library.md, whose last expression shows as in a notebook.

To write the outputs anew after a change that is meant: python tests/test_readme.py
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
LIBRARY = ROOT / "docs" / "library.md"
_PYTHON_BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
_BLOCK = re.compile(r"```console\n\$ ([^\n]*)\n(.*?)```", re.DOTALL)


def play(text: str, folder: Path) -> str:
    """The README with every console block's output replaced by what its command prints (stdout and stderr) in `folder`."""
    (folder / "sample_traces").symlink_to(ROOT / "sample_traces")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    for name in ("REPLAY_STORE", "COLUMNS", "TERM"):
        environment.pop(name, None)

    def run(found: re.Match[str]) -> str:
        command = found[1]
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        return f"```console\n$ {command}\n{printed}\n```"

    return _BLOCK.sub(run, text)


def play_python(text: str, folder: Path) -> str:
    """The text with what each Python block gives below it: what it prints, and what its last expression is."""
    (folder / "sample_traces").symlink_to(ROOT / "sample_traces")
    names: dict[str, Any] = {}

    def run(found: re.Match[str]) -> str:
        given = "\n".join(line.rstrip() for line in _notebook_cell(found[1], names).splitlines())
        return f"```python\n{found[1]}```" + (f"\n\n```text\n{given}\n```" if given else "")

    with contextlib.chdir(folder):
        return _PYTHON_BLOCK.sub(run, text)


def _notebook_cell(code: str, names: dict[str, Any]) -> str:
    *statements, last = ast.parse(code).body
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if not isinstance(last, ast.Expr):
            exec(code, names)
        else:
            exec(compile(ast.Module(statements, []), "cell", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            if value is not None:
                print(repr(value))  # noqa: T201
    return printed.getvalue()


def test_every_command_prints_what_the_readme_says(tmp_path: Path) -> None:
    text = README.read_text()
    assert len(_BLOCK.findall(text)) > 5
    assert play(text, tmp_path) == text


def test_every_python_block_of_the_library_page_gives_what_stands_below_it(tmp_path: Path) -> None:
    text = LIBRARY.read_text()
    assert len(_PYTHON_BLOCK.findall(text)) > 10
    assert play_python(text, tmp_path) == text


def test_policy_file_and_python_of_the_readme_work(tmp_path: Path) -> None:
    text = README.read_text()
    (tmp_path / "mine.toml").write_text(textwrap.dedent(re.search(r"    # mine\.toml:.*?(?=\n\n)", text, re.DOTALL)[0]))  # type: ignore[index]
    (tmp_path / "asks.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    example = ROOT / "tests" / "examples" / "never-unpinned.jsonl"
    for command in (
        ["-m", "replay", "ingest", str(example)],
        ["-m", "replay", "run", "--policy", "patient", "--policy-file", "mine.toml"],
        ["asks.py"],
    ):
        subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, timeout=60)


def test_the_readme_names_every_command_policy_and_report() -> None:
    from replay import reports
    from replay.cli import app
    from replay.policies import BUILTIN

    text = README.read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"replay {command.callback.__name__}" in text
    for policy in BUILTIN:
        assert policy.name in text
    for report in reports.names():
        assert f"`{report}`" in text


if __name__ == "__main__":
    if sys.argv[1:] == ["--code"]:  # for the type checker, which reads it as a user's program
        sys.exit(print("\n".join(found[1] for found in _PYTHON_BLOCK.finditer(LIBRARY.read_text()))))  # noqa: T201
    for page, player in ((README, play), (LIBRARY, play_python)):
        with tempfile.TemporaryDirectory() as scratch:
            page.write_text(player(page.read_text(), Path(scratch)))
