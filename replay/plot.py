"""Small plots of characters: a line of bars for each series, readable without colour and, where need be, without Unicode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replay.humane import quantity
from replay.texttable import PLAIN, Look

# From the lowest to the highest; nothing at all, and nothing known, have characters of their own.
_BARS = {True: "▁▂▃▄▅▆▇█", False: ":-=+*#%@"}
_ZERO = {True: "·", False: "."}
_UNKNOWN = " "
_WIDEST_BAR = 6
_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Series:
    """Values in the order of the axis; None where there is none."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """Series of one unit (of replay.humane) and one scale."""

    title: str
    unit: str
    series: Sequence[Series]

    @property
    def top(self) -> float:
        return max((value for one in self.series for value in one.values if value is not None), default=0)


def spark(values: Sequence[float | None], top: float, look: Look = PLAIN, width: int = 1) -> str:
    """A bar of so many characters for each value, as high as the value is of `top`."""
    bars = _BARS[look.unicode]

    def bar(value: float | None) -> str:
        if value is None:
            return _UNKNOWN
        if value <= 0:
            return _ZERO[look.unicode]
        return bars[min(int(value / top * len(bars)), len(bars) - 1)]

    return "".join(bar(value) * width for value in values)


def draw(plots: Sequence[Plot], axis: str, ends: tuple[str, str], look: Look = PLAIN) -> str:
    """Plots over one axis, one below the other; the axis and what its ends stand for below them."""
    label_width = max(len(label) for label in (axis, *(one.label for plot in plots for one in plot.series)))
    count = max(len(one.values) for plot in plots for one in plot.series)
    width = max(1, min(_WIDEST_BAR, ((look.width or _WIDTH) - label_width - 4) // count))
    lines = []
    for plot in plots:
        lines.append(f"{plot.title}, up to {quantity(plot.top, plot.unit)}")
        lines += [f"  {one.label.ljust(label_width)}  {spark(one.values, plot.top, look, width)}" for one in plot.series]
    first, last = ends
    lines.append(f"  {axis.ljust(label_width)}  {first}{last.rjust(max(count * width - len(first), len(last) + 1))}")
    return "".join(f"{line.rstrip()}\n" for line in lines)
