"""Tables as text that fits its place.

What does not fit is made smaller step by step: heads go over several lines, a policy that many rows share becomes a line above
them, sentences go over several lines; columns that the report calls spare are left out, which a line below says; the middle of long
names gives way to dots. Numbers are never shortened. What still does not fit stands row by row.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby, product
from typing import Any, NamedTuple

from replay.humane import quantity

_GAP = "  "
# What is done to make a table fit: nothing, everything but cutting names, that too.
_AS_IT_IS, _SENTENCES, _NAMES_TOO = "as it is", "sentences", "names too"
_OPEN = ">= "
_OPEN_NOTE = ">=: had not ended at the end of the trace."
# No name is cut below this.
_NAME_WIDTH = 12
_NARROWEST_TEXT, _WIDEST_TEXT = 10, 60
# Longer lines are hard to read, however wide the terminal is.
_SENTENCE_WIDTH = 100

Row = Mapping[str, Any]
Cells = Sequence[Mapping[str, str]]


class Head(NamedTuple):
    """How a column looks in a text table. `title` may have several lines; `open_column` names the flag of an open end.

    `spare`: may be left out where the table is too wide.
    """

    title: str
    unit: str = ""
    open_column: str = ""
    spare: bool = False


class Look(NamedTuple):
    """What the place of an output shows: so many characters in a line (None: any number), and more than ASCII or not."""

    width: int | None = None
    unicode: bool = True

    def bytes(self, text: str) -> bytes:
        """The text as the output takes it."""
        return text.encode(errors="replace") if self.unicode else text.encode("ascii", "backslashreplace")

    def fill(self, text: str, indent: str = "") -> str:
        """A sentence over as many lines as it takes; lines after the first are indented."""
        width = min(self.width or _SENTENCE_WIDTH, _SENTENCE_WIDTH)
        return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

    @property
    def dots(self) -> str:
        return "…" if self.unicode else "~"


PLAIN = Look()


def text_table(heads: Mapping[str, Head], rows: Sequence[Row], look: Look = PLAIN, *, exact: bool = False) -> str:
    """Columns under their heads: numbers to the right, text to the left, no lines but one below the heads.

    `exact`: values stand as they are and in one line each, or row by row.
    """
    right = {name for name in heads if any(isinstance(row[name], int | float | Decimal) for row in rows)}
    tries = [(_AS_IT_IS, list(heads))] if exact else [(_AS_IT_IS, list(heads)), *product((_SENTENCES, _NAMES_TOO), _choices(heads))]
    for effort, names in tries:
        cells = [{name: cell(row, name, heads[name], brief=effort != _AS_IT_IS) for name in names} for row in rows]
        layout = _fitting({name: heads[name] for name in names}, cells, right, look, effort)
        if layout is not None:
            is_open = effort != _AS_IT_IS and any(text.startswith(_OPEN) for row in cells for text in row.values())
            left_out = [head for name, head in heads.items() if name not in names]
            notes = [*([_OPEN_NOTE] if is_open else []), *([_missing(left_out, look)] if left_out else [])]
            return _drawn(layout, cells, right, look) + "".join(look.fill(note, "  ") + "\n" for note in notes)
    return row_by_row(heads, rows)


def _choices(heads: Mapping[str, Head]) -> Iterator[list[str]]:
    """All columns, then without one spare column after the other, the last one first."""
    spare = [name for name, head in heads.items() if head.spare]
    for count in range(len(spare), -1, -1):
        yield [name for name, head in heads.items() if not head.spare or name in spare[:count]]


def cell(row: Row, name: str, head: Head, *, brief: bool = False) -> str:
    """One value of a row as people read it; `brief`: an open end is only marked."""
    value = row[name]
    text = quantity(value, head.unit) if head.unit else _plain(value)
    if head.open_column and value is not None and row[head.open_column]:
        return f"{_OPEN}{text}" if brief else f"{_OPEN}{text} (still open)"
    return printable(text)


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | dict):
        return json.dumps(value, default=encode)
    return str(value)


def encode(value: object) -> object:
    """For JSON: what SQL knows and JSON does not."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def printable(text: str) -> str:
    """Text from a trace must not steer the terminal: what cannot be printed is shown escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def row_by_row(heads: Mapping[str, Head], rows: Sequence[Row]) -> str:
    """One value a line, for what is too wide for a table."""
    titles = {name: " ".join(head.title.replace("-\n", "").split("\n")) for name, head in heads.items()}
    widest = max(map(len, titles.values()), default=0)
    blocks = []
    for number, row in enumerate(rows, 1):
        lines = (f"{titles[name].ljust(widest)}  {cell(row, name, head)}\n" for name, head in heads.items())
        blocks.append(f"-- row {number}\n" + "".join(lines))
    return "".join(blocks)


class _Layout(NamedTuple):
    """Widths of the columns, their titles in lines, and the columns that stand above the rows that share them."""

    widths: Mapping[str, int]
    titles: Mapping[str, Sequence[str]]
    shared: Sequence[str]


def _fitting(heads: Mapping[str, Head], cells: Cells, right: set[str], look: Look, effort: str) -> _Layout | None:
    """The first layout that fits, from the most comfortable on."""
    for layout in _layouts(heads, cells, right, effort):
        if look.width is None or sum(layout.widths.values()) + len(_GAP) * (len(layout.widths) - 1) <= look.width:
            return layout
    return None


def _layouts(heads: Mapping[str, Head], cells: Cells, right: set[str], effort: str) -> Iterator[_Layout]:
    full = {name: max((len(row[name]) for row in cells), default=0) for name in heads}
    titles = {name: head.title.split("\n") for name, head in heads.items()}
    caps = sorted({len(line) for lines in titles.values() for line in lines}, reverse=True) or [0]
    if effort == _AS_IT_IS:
        yield _layout(full, titles, caps[0], [])
        return
    texts = [name for name in heads if name not in right]
    shared = _shared(texts, list(heads), cells)
    for above in ([], shared) if shared else ([],):
        for cap in caps:
            yield _layout({name: full[name] for name in heads if name not in above}, titles, cap, above)
    yielding = texts if effort == _NAMES_TOO else [name for name in texts if any(" " in row[name] for row in cells)]
    least = {name: _least(name, cells) for name in yielding}
    for cap in range(_WIDEST_TEXT, _NARROWEST_TEXT - 1, -1):
        widths = {name: min(full[name], max(cap, least[name])) if name in least else full[name] for name in heads if name not in shared}
        yield _layout(widths, titles, caps[-1], shared)


def _layout(widths: Mapping[str, int], titles: Mapping[str, Sequence[str]], cap: int, shared: Sequence[str]) -> _Layout:
    """Titles are broken where they are wider than their column and the cap, at spaces only."""
    broken = {
        name: [part for line in titles[name] for part in textwrap.wrap(line, max(width, cap, 1), break_long_words=False) or [""]]
        for name, width in widths.items()
    }
    return _Layout({name: max(width, *map(len, broken[name])) for name, width in widths.items()}, broken, shared)


def _shared(texts: Sequence[str], names: Sequence[str], cells: Cells) -> list[str]:
    """The columns of text at the left whose values many rows in succession share."""
    found: list[str] = []
    for name in names[:-1]:
        if name not in texts or _runs(cells, [*found, name]) > _runs(cells, found or [name]):
            break
        found.append(name)
    return found if found and _runs(cells, found) < len(cells) else []


def _runs(cells: Cells, names: Sequence[str]) -> int:
    return sum(1 for _ in groupby(cells, lambda row: [row[name] for name in names]))


def _least(name: str, cells: Cells) -> int:
    """The width below which a column of text says nothing: sentences can be broken between words, names lose their middle."""
    widest = 0
    for row in cells:
        words = row[name].split() or [""]
        longest = max(map(len, words))
        widest = max(widest, min(longest, _NAME_WIDTH) if len(words) == 1 else longest)
    return widest


def _drawn(layout: _Layout, cells: Cells, right: set[str], look: Look) -> str:
    depth = max(map(len, layout.titles.values()), default=1)
    heads = {name: [""] * (depth - len(title)) + list(title) for name, title in layout.titles.items()}

    def line(values: Mapping[str, str]) -> str:
        parts = (values[name].rjust(width) if name in right else values[name].ljust(width) for name, width in layout.widths.items())
        return _GAP.join(parts).rstrip()

    lines = [line({name: title[level] for name, title in heads.items()}) for level in range(depth)]
    lines.append(_GAP.join("-" * width for width in layout.widths.values()))
    above = ""
    for row in cells:
        if layout.shared and (heading := _heading(row, layout.shared)) != above:
            lines.append(look.fill(heading, "  "))
            above = heading
        lines.extend(map(line, _broken(row, layout.widths, look)))
    return "\n".join(lines) + "\n"


def _heading(row: Mapping[str, str], shared: Sequence[str]) -> str:
    return _GAP.join(row[name] for name in shared if row[name] != "-") + ":"


def _broken(row: Mapping[str, str], widths: Mapping[str, int], look: Look) -> Iterator[Mapping[str, str]]:
    """The lines of one row."""
    parts = {name: _pieces(row[name], width, look) for name, width in widths.items()}
    for level in range(max(map(len, parts.values()), default=0)):
        yield {name: pieces[level] if level < len(pieces) else "" for name, pieces in parts.items()}


def _pieces(text: str, width: int, look: Look) -> Sequence[str]:
    if len(text) <= width:
        return [text]
    if " " in text:
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    keep = width - len(look.dots)
    return [text[: keep - keep // 2] + look.dots + text[len(text) - keep // 2 :]]


def _missing(left_out: Sequence[Head], look: Look) -> str:
    names = ", ".join(head.title.replace("-\n", "").replace("\n", " ") for head in left_out)
    return f"Left out to fit {look.width} columns: {names}. A wider terminal, COLUMNS=200 or --format csv shows all."
