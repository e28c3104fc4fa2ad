"""A page for each command, from the command's own definition: docs/commands/NAME.md, and man pages on demand.

python tests/command_pages.py             write docs/commands
python tests/command_pages.py --check     say which pages are not up to date, with exit status 1
python tests/command_pages.py --man DIR   write replay.1, replay-ingest.1, ... into DIR
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

from replay import __version__
from replay.cli import app
from replay.examples import EXAMPLES

FOLDER = Path(__file__).parent.parent / "docs" / "commands"
_WIDTH = 130
_STATUS = (
    ("0", "Success."),
    ("1", "Failure: a bad trace, no store, a policy that was not replayed yet."),
    ("2", "Wrong usage."),
    ("130", "Interrupted."),
)
_RESULTS = "Results are on stdout, messages and progress on stderr."


@dataclass(frozen=True, slots=True)
class Page:
    """What there is to say about a command; `name` is what one types."""

    name: str
    summary: str
    paragraphs: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]

    @property
    def file(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def synopsis(self) -> str:
        return " ".join([self.name, "[OPTIONS]", *(name for name, _ in self.arguments), *(["COMMAND"] if self.commands else [])])

    @property
    def examples(self) -> tuple[tuple[str, str], ...]:
        return EXAMPLES.get(self.name.split()[-1], ())


def pages() -> list[Page]:
    """The program's page, then those of its commands in the order of --help."""
    top: Any = typer.main.get_command(app)
    root = typer.Context(top, info_name="replay", **top.context_settings)
    summaries = tuple((f"replay {name}", _paragraphs(command)[0]) for name, command in top.commands.items())
    commands = (_page(f"replay {name}", typer.Context(command, root, name)) for name, command in top.commands.items())
    return [_page("replay", root, summaries), *commands]


def _page(name: str, context: Any, commands: tuple[tuple[str, str], ...] = ()) -> Page:
    summary, *rest = _paragraphs(context.command)
    params = context.command.get_params(context)
    records = [param.get_help_record(context) for param in params if param.param_type_name == "option"]
    arguments = [(_metavar(param), param.help or "") for param in params if param.param_type_name == "argument"]
    return Page(name, summary, tuple(rest), tuple(arguments), tuple(record for record in records if record), commands)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(command.help).split("\n\n")]


def markdown(page: Page) -> str:
    parts = [f"# {page.name}", page.summary, f"    {page.synopsis}", *page.paragraphs]
    for title, rows in (("Arguments", page.arguments), ("Options", page.options)):
        if rows:
            parts += [f"## {title}", "\n".join(f"- `{name}`: {text.replace('  ', ' ')}" for name, text in rows)]
    if page.commands:
        links = (f"- [{name}]({name.replace(' ', '-')}.md): {text}" for name, text in page.commands)
        parts += ["## Commands", "\n".join(links), "## Exit status", "\n".join(f"- {status}: {text}" for status, text in _STATUS), _RESULTS]
    if page.examples:
        parts += ["## Examples", "\n".join(f"    # {what}\n    {line}" for what, line in page.examples)]
    return "\n\n".join(part if part.startswith(("    ", "- ")) else textwrap.fill(part, _WIDTH) for part in parts) + "\n"


def man(page: Page) -> str:
    """The same in the man macros; every argument is escaped, so that no text is taken for a macro."""
    lines = [
        f'.TH "{page.file.upper()}" 1 "" "replay {__version__}"',
        ".SH NAME",
        f"{_roff(page.file)} \\- {_roff(page.summary.rstrip('.'))}",
    ]
    lines += [".SH SYNOPSIS", f".B {_roff(page.synopsis)}"]
    if page.paragraphs:
        lines += [".SH DESCRIPTION", *(line for text in page.paragraphs for line in (".PP", _roff(text)))]
    for title, rows in (("ARGUMENTS", page.arguments), ("OPTIONS", page.options), ("COMMANDS", page.commands)):
        if rows:
            lines += [f".SH {title}", *_tagged(rows)]
    if page.examples:
        lines += [".SH EXAMPLES", *_tagged((line, what + ".") for what, line in page.examples)]
    lines += [".SH EXIT STATUS", *_tagged(_STATUS), ".PP", _RESULTS]
    return "\n".join(lines) + "\n"


def _tagged(rows: Any) -> Iterator[str]:
    for name, text in rows:
        yield from (".TP", f".B {_roff(name)}", _roff(text))


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main(args: list[str]) -> int:
    if args[:1] == ["--man"] and len(args) == 2:
        folder = Path(args[1])
        folder.mkdir(parents=True, exist_ok=True)
        for page in pages():
            (folder / f"{page.file}.1").write_text(man(page))
        return 0
    texts = {FOLDER / f"{page.file}.md": markdown(page) for page in pages()}
    there = set(FOLDER.glob("*.md"))
    stale = [path for path, text in texts.items() if path not in there or path.read_text() != text]
    if args == ["--check"]:
        for path in sorted({*stale, *(there - texts.keys())}):
            sys.stderr.write(f"{path}: not up to date; write it with: python tests/command_pages.py\n")
        return int(bool(stale or there - texts.keys()))
    FOLDER.mkdir(exist_ok=True)
    for path in there - texts.keys():
        path.unlink()
    for path in stale:
        path.write_text(texts[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
