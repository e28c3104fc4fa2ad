"""The values over which a sweep goes: lists and geometric ranges of parameters, and every combination of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import product
from math import prod

from replay.errors import UsageError
from replay.params import BY_NAME, Param, Value, parse_params
from replay.units import Cost

_RANGE = re.compile(r"(.*)\.\.(.*):(\d{1,6})", re.ASCII)
_FIGURES = 3
# Correctly rounded at any precision, so that every machine finds the same points.
_EXACT = Context(prec=40)
MOST_VALUES = 1000


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter and its values, in the order given, each once."""

    param: Param
    values: tuple[Value, ...]

    @property
    def texts(self) -> list[str]:
        return [self.param.show(value) for value in self.values]


@dataclass(frozen=True, slots=True)
class Grid:
    """Parameters with their values; a parameter with one value is the same in all points."""

    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        return prod(len(axis.values) for axis in self.axes)

    @property
    def swept(self) -> list[Axis]:
        return [axis for axis in self.axes if len(axis.values) > 1]

    def points(self) -> list[Mapping[str, Value]]:
        """Every combination; the last parameter changes fastest."""
        names = [axis.param.name for axis in self.axes]
        return [dict(zip(names, values, strict=True)) for values in product(*(axis.values for axis in self.axes))]

    def shown(self, point: Mapping[str, Value]) -> dict[str, str]:
        """A point as the texts that a run takes."""
        return {axis.param.name: axis.param.show(point[axis.param.name]) for axis in self.axes}


def parse_axes(given: Iterable[str]) -> dict[str, str]:
    """NAME=VALUES arguments of a command line, each name once."""
    axes: dict[str, str] = {}
    for text in given:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals:
            raise UsageError(f"--param {text}: expected NAME=VALUES, such as lease.app=1ms..600s:20 or lease.break_time=5s,45s")
        if name in axes:
            raise UsageError(f"--param {name} is given twice", hint=f"list its values: {name}=A,B,...")
        axes[name] = values
    return axes


def parse_grid(given: Mapping[str, str]) -> Grid:
    """Parameters and their values: lists with commas, of which any part may be a range A..B:N."""
    for name, values in given.items():
        if name not in BY_NAME:
            parse_params({name: values})  # refuses the name, with the nearest one
    grid = Grid(tuple(_axis(BY_NAME[name], values) for name, values in given.items()))
    if not grid.swept:
        raise UsageError("nothing to sweep over: no parameter has several values", hint="--param lease.app=1ms..600s:20")
    return grid


def _axis(param: Param, text: str) -> Axis:
    values: dict[Value, None] = {}
    for part in (part.strip() for part in text.split(",")):
        found = _RANGE.fullmatch(part)
        if found:
            values.update(dict.fromkeys(_range(param, found[1].strip(), found[2].strip(), int(found[3]))))
        elif ".." in part:
            raise UsageError(f"{param.name}: {part!r} is no range", hint="A..B:N is N values from A to B, such as 1ms..600s:20")
        else:
            values[param.parse(part)] = None
    return Axis(param, tuple(values))


def _range(param: Param, first: str, last: str, count: int) -> list[Value]:
    """`count` values from first to last, each the same multiple of the one before; those between have three figures."""
    if param.kind == "choice":
        raise UsageError(f"{param.name}: its values are names, of which there is no range", hint=f"list them: {','.join(param.choices)}")
    if not 2 <= count <= MOST_VALUES:
        raise UsageError(f"{param.name}: a range has from 2 to {MOST_VALUES} values, not {count}")
    begin, end = param.parse(first), param.parse(last)
    if isinstance(begin, Cost) and isinstance(end, Cost):
        bases = _steps(param, begin.base_ps, end.base_ps, count)
        slopes = _steps(param, begin.slope_ps, end.slope_ps, count)
        return [Cost(base, slope) for base, slope in zip(bases, slopes, strict=True)]
    assert isinstance(begin, int)
    assert isinstance(end, int)
    if not (begin and end):
        raise _from_nothing(param)
    return list(_steps(param, begin, end, count))


def _steps(param: Param, begin: int, end: int, count: int) -> list[int]:
    if not (begin or end):
        return [0] * count
    if not (begin and end):
        raise _from_nothing(param)
    span = _EXACT.ln(_EXACT.divide(Decimal(end), Decimal(begin)))
    between = (_EXACT.exp(_EXACT.divide(_EXACT.multiply(span, Decimal(step)), Decimal(count - 1))) * begin for step in range(1, count - 1))
    return [begin, *map(_rounded, between), end]


def _from_nothing(param: Param) -> UsageError:
    return UsageError(
        f"{param.name}: no range goes from or to 0, since its values are multiples of each other", hint="list 0 beside it: 0,A..B:N"
    )


def _rounded(value: Decimal) -> int:
    """To three figures, and to a whole number."""
    return int(round(value, min(_FIGURES - 1 - value.adjusted(), 0)))
