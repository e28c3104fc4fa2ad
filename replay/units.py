"""Durations and costs as people write them, as exact integers.

Durations are nanoseconds ("45s", "10us", "0"). A cost is that of an operation on n pages, BASE+SLOPE/page
("20us+0.09us/page"), kept in picoseconds so that slopes below a nanosecond stay exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replay.errors import UsageError

PS_PER = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12, "min": 60 * 10**12, "h": 3600 * 10**12}
MAX_DURATION_NS = 30 * 24 * 3600 * 10**9  # thirty days: sums of a few, and costs in picoseconds, stay within 64 bits

# A page in four nanoseconds.
MAX_RATE = 1 << 40
BYTES_PER = {"B": 1, "KiB": 1 << 10, "page": 1 << 12, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

_RATE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB|TiB)?/s", re.ASCII)
_QUANTITY = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?(ps|ns|us|µs|ms|s|min|h)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of an operation on n pages: base + slope * n."""

    base_ps: int
    slope_ps: int

    def ns(self, npages: int) -> int:
        """Rounded to the nearest nanosecond, as the engine does."""
        return (self.base_ps + self.slope_ps * npages + 500) // 1000


def _picoseconds(text: str, what: str) -> int:
    if text == "0":
        return 0
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UsageError(f"{what}: {text!r} is not a duration", hint="a number and a unit, such as 5ms, 45s or 0.5us, or 0")
    whole, fraction, unit = match[1], match[2] or "", match[3].replace("µ", "u")
    value, rest = divmod(int(whole + fraction) * PS_PER[unit], int("1" + "0" * len(fraction)))
    if rest:
        raise UsageError(f"{what}: {text!r} is finer than a picosecond")
    if value > MAX_DURATION_NS * 1000:
        raise UsageError(f"{what}: {text!r} is longer than thirty days")
    return value


def parse_duration(text: str, what: str = "duration") -> int:
    """Nanoseconds."""
    value, rest = divmod(_picoseconds(text.strip(), what), 1000)
    if rest:
        raise UsageError(f"{what}: {text!r} is finer than a nanosecond")
    return value


def parse_cost(text: str, what: str = "cost") -> Cost:
    """BASE, SLOPE/page, or BASE+SLOPE/page."""
    base = slope = 0
    parts = text.replace(" ", "").split("+")
    if len(parts) > 2:
        raise UsageError(f"{what}: {text!r} is not a cost", hint="BASE+SLOPE/page, such as 20us+0.09us/page")
    for position, part in enumerate(parts):
        if part.endswith("/page"):
            slope = _picoseconds(part.removesuffix("/page"), what)
        elif position == 0:
            base = _picoseconds(part, what)
        else:
            raise UsageError(f"{what}: {text!r} is not a cost", hint="BASE+SLOPE/page, such as 20us+0.09us/page")
    if slope > 10**12:
        raise UsageError(f"{what}: {text!r} costs more than a second for each page")
    return Cost(base, slope)


def parse_rate(text: str, what: str = "rate") -> int:
    """Bytes a second, of SIZE/s or of N/s: accesses of a page each."""
    match = _RATE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise UsageError(f"{what}: {text!r} is not a rate", hint="bytes such as 2GiB/s, or pages such as 1000/s")
    rate = int(match[1]) * BYTES_PER[match[2] or "page"]
    if not 1 <= rate <= MAX_RATE:
        raise UsageError(f"{what}: {text!r} is not between 1B/s and {format_rate(MAX_RATE)}")
    return rate


def format_rate(rate: int) -> str:
    unit = next(unit for unit in ("TiB", "GiB", "MiB", "KiB", "B") if rate % BYTES_PER[unit] == 0)
    return f"{rate // BYTES_PER[unit]}{unit}/s"


def parse_version(text: str, what: str = "version") -> int:
    """A kernel's MAJOR.MINOR as one number that orders them."""
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"{what}: {text!r} is not a kernel version", hint="MAJOR.MINOR, such as 6.5")
    return int(match[1]) * 1000 + int(match[2])


def format_version(version: int) -> str:
    return f"{version // 1000}.{version % 1000}"


def _format_ps(value: int) -> str:
    for unit in ("s", "ms", "us", "ns"):
        scale = PS_PER[unit]
        if value >= scale:
            whole, rest = divmod(value, scale)
            digits = str(rest).zfill(len(str(scale)) - 1).rstrip("0")
            return f"{whole}.{digits}{unit}" if digits else f"{whole}{unit}"
    return f"{value}ps" if value else "0"


def format_duration(value_ns: int) -> str:
    """The shortest exact form: 45s, 1.5ms, 0. A negative one keeps its sign."""
    return f"-{_format_ps(-value_ns * 1000)}" if value_ns < 0 else _format_ps(value_ns * 1000)


def format_cost(cost: Cost) -> str:
    if not cost.slope_ps:
        return _format_ps(cost.base_ps)
    slope = f"{_format_ps(cost.slope_ps)}/page"
    return f"{_format_ps(cost.base_ps)}+{slope}" if cost.base_ps else slope
