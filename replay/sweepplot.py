"""What a sweep looks like: shares, waits and losses over its longest axis, a line of bars for all else that varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replay.plot import Plot, Series, draw
from replay.texttable import Look

if TYPE_CHECKING:
    from replay.grid import Axis
    from replay.sweep import Swept

_MEASURES = (
    ("Lease breaks that time out", "percent", ("timeout_share",)),
    ("Waits, all together", "ns", ("total_ns",)),
    ("Lost operations", "count", ("failed_remote_ops", "failed_fs_ops", "killed_tasks")),
    ("Data at risk", "bytes", ("at_risk_bytes",)),
)
# More lines than this are no picture any more.
_MOST_SERIES = 12


def draw_sweep(swept: Swept, look: Look) -> str:
    """Bars for each measure that is not zero everywhere; nothing where there would be too many lines."""
    axis = max(swept.grid.swept, key=lambda axis: len(axis.values))
    lines = _lines(swept, axis)
    if len(lines) > _MOST_SERIES:
        return ""
    plots = []
    for title, unit, names in _MEASURES:
        series = [Series(label, [_amount(row, names) for row in rows]) for label, rows in lines.items()]
        if any(value for one in series for value in one.values):
            plots.append(Plot(title, unit, series))
    return draw(plots, axis.param.name, (axis.texts[0], axis.texts[-1]), look) if plots else ""


def _lines(swept: Swept, axis: Axis) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Rows along the axis, under what tells them from the others."""
    rows = swept.reported.rows()
    others = [other for other in swept.grid.swept if other is not axis]
    telling = [name for name in ("policy", "source") if len({row[name] for row in rows}) > 1]
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for point, row in zip(swept.points, rows, strict=True):
        words = [row[name] for name in telling]
        words += [f"{other.param.name}={other.param.show(point.values[other.param.name])}" for other in others]
        lines.setdefault(" ".join(words) or row["policy"], []).append(row)
    return lines


def _amount(row: Mapping[str, Any], names: Sequence[str]) -> float | None:
    values = [row[name] for name in names]
    return None if None in values else sum(values)
