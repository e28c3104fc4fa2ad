"""What the shell offers: names that are known, and those that the store holds; nothing where it cannot be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replay import reports
from replay.cli import main
from replay.params import PARAMS
from replay.policies import BUILTIN

REPLAY = Path(sys.executable).parent / "replay"
EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "store"
    for args in (["ingest", str(EXAMPLES / "never-unpinned.jsonl"), str(EXAMPLES / "dax-punch.jsonl")], ["run", "--policy", "odp"]):
        with pytest.raises(SystemExit):
            main(["--store", str(path), *args])
    return path


def offered(*words: str, store: Path | None = None) -> list[str]:
    """The offers for the last word."""
    environment = {**os.environ, "_REPLAY_COMPLETE": "complete_bash", "REPLAY_STORE": str(store or "/nonexistent")}
    environment |= {"COMP_WORDS": "\n".join(["replay", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run([REPLAY], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options() -> None:
    assert offered("ru") == ["run"]
    assert "--policy-file" in offered("run", "--p")
    assert offered("sql", "--format", "p") == ["parquet"]


def test_policies_and_their_compositions(tmp_path: Path) -> None:
    assert offered("run", "--policy", "") == [policy.name for policy in BUILTIN]
    assert offered("run", "--policy", "lease+b") == ["lease+bounce", "lease+bounce-sync", "lease+busy-blocks"]
    assert "bounce+lease+bounce" not in offered("run", "--policy", "bounce+lease+")
    (tmp_path / "own.toml").write_text('[policy.patient]\nwriteback = "hold"\n')
    assert offered("run", "--policy-file", str(tmp_path / "own.toml"), "--policy", "p") == ["patient"]
    assert offered("run", "--policy-file", str(tmp_path / "none.toml"), "--policy", "p") == []


def test_parameters_come_with_a_value() -> None:
    assert offered("run", "--param", "lease.on") == [f"lease.on_timeout={choice}" for choice in ("wait", "fail_io", "kill")]
    assert {offer.split("=")[0] for offer in offered("run", "--param", "")} == {param.name for param in PARAMS}


def test_parameters_of_a_sweep_come_with_all_choices() -> None:
    assert offered("sweep", "--param", "lease.on") == ["lease.on_timeout=wait,fail_io,kill"]
    assert offered("sweep", "--policy", "lease+bounce-") == ["lease+bounce-sync"]


def test_reports() -> None:
    assert offered("report", "") == reports.names()
    assert offered("report", "wast") == ["wasted-writeback"]


def test_traces_and_policies_of_the_store(store: Path) -> None:
    assert offered("run", "--trace", "", store=store) == ["dax-punch.jsonl", "never-unpinned.jsonl"]
    assert offered("run", "--store", str(store), "--trace", "never") == ["never-unpinned.jsonl"]
    assert offered("--store", str(store), "run", "--trace", "never") == ["never-unpinned.jsonl"]
    (trace,) = offered("validate", "--trace", "t", store=store)[:1]
    assert trace.startswith("t")
    assert offered("report", "--policy", "", store=store) == ["odp"]


@pytest.mark.parametrize("content", [None, "", "{", '{"version": 99}'])
def test_a_store_that_cannot_be_read_offers_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "store.json").write_text(content)
    assert offered("run", "--trace", "", store=tmp_path) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_serves_bash(store: Path) -> None:
    """As bash calls it; the script is what --show-completion prints, which asks the parent process for the shell's name."""
    lines = [
        'eval "$(_REPLAY_COMPLETE=source_bash replay)"',
        "COMP_WORDS=(replay report --policy o) COMP_CWORD=3",
        "_replay_completion replay o --policy",
        'echo "${COMPREPLY[@]}"',
    ]
    environment = {**os.environ, "PATH": f"{REPLAY.parent}{os.pathsep}{os.environ['PATH']}", "REPLAY_STORE": str(store)}
    done = subprocess.run(["bash", "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "odp\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_show_completion(shell: str) -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([REPLAY, "--show-completion", shell], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert f"complete_{shell}" in done.stdout
