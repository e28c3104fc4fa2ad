"""Quantities for human eyes; machines get the plain numbers."""

from __future__ import annotations

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_TIME_UNITS = ((1, "ns"), (1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s"))
_LONG_NS = 600 * 1_000_000_000


def quantity(value: object, unit: str) -> str:
    """A value of a declared unit; what has no value is "-"."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if unit == "ns":
        return duration(int(value))
    if unit == "ts":
        return instant(int(value))
    if unit == "bytes":
        return size(value)
    if unit == "share":
        # Nothing short of all may read as 1.
        return "1" if value == 1 else f"{min(value, 0.999999):.6f}"
    if unit == "percent":
        return f"{min(max(value, 0.001), 0.999):.1%}" if 0 < value < 1 else f"{value:.0%}"
    return number(value) if unit else str(value)


def number(value: float) -> str:
    """A count with thousands apart; a measure with three figures."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def size(value: float) -> str:
    """Bytes in binary units."""
    if value == 0:
        return "0"
    power = 0
    while abs(value) >= 1024 and power < len(_BYTE_UNITS) - 1:
        value /= 1024
        power += 1
    return f"{_figures(value)} {_BYTE_UNITS[power]}"


def duration(ns: int) -> str:
    """Nanoseconds in the unit that keeps three figures readable."""
    if ns == 0:
        return "0"
    if abs(ns) >= _LONG_NS:
        minutes = ns // 60_000_000_000
        return f"{minutes} min" if minutes < 120 else f"{_figures(minutes / 60)} h"
    scale, unit = next((scale, unit) for scale, unit in reversed(_TIME_UNITS) if abs(ns) >= scale)
    return f"{_figures(ns / scale)} {unit}"


def instant(ns: int) -> str:
    """A time stamp in seconds, to the microsecond, by integers: a float would invent digits."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return f"{sign}{ns // 1_000_000_000}.{ns % 1_000_000_000 // 1000:06d}"


def _figures(value: float) -> str:
    if float(value).is_integer():
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
