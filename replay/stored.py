"""How columns lie in Parquet that do not lie there as SQL shows them.

A number that is in every row is several times cheaper to write and to read than one that may be NULL, and small values of a row
are cheapest as bits of one number. The ways in and out are told side by side, since they must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = "bits"


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a column lies: in the column `name` of this type, which has no NULL, and as `none` where there is no value.

    `sql` gives the value from there; `number` from values, those of text being places in `words`, what is stored. Columns may share one.
    `beyond`: stored is how far the value lies beyond that of another column.
    """

    name: str
    type: str
    none: int
    sql: str
    number: Callable[[NDArray[Any]], NDArray[Any]]
    words: Sequence[str] = ()
    beyond: str = ""


def natural(name: str, type_: str = "int64", *, sql_type: str = "") -> Stored:
    """A number of 0 or more, in a column of its name; -1: none. `sql_type`, if SQL shows another type than lies there."""
    value = f'CAST("{name}" AS {sql_type})' if sql_type else f'"{name}"'
    return Stored(name, type_, -1, f'CASE WHEN "{name}" >= 0 THEN {value} END', lambda values: values)


def lead(beyond: str, count: str) -> Stored:
    """A number of 0 or more by its lead over that of another column, which changes less often; -1 where there are none to count."""
    sql = f'CASE WHEN "{count}" > 0 THEN "{beyond}" + lead ELSE -1 END'
    return Stored("lead", "int64", 0, sql, lambda values: values, beyond=beyond)


def named(name: str) -> Stored:
    """A name, in a column of text of its own; the empty one is none."""
    return Stored(name, "string", 0, f"nullif({name}, '')", lambda values: values)


def flag(number: int) -> Stored:
    """A truth value, in two bits: 1 is false, 3 true."""
    first = 2 * number
    sql = f"CASE WHEN ({BITS} & {1 << first}) > 0 THEN ({BITS} & {2 << first}) > 0 END"
    return Stored(BITS, "int32", 0, sql, lambda values: (1 + 2 * values.astype("i4")) << first)


def word(first: int, width: int, words: Sequence[str]) -> Stored:
    """One of these words by its place, from 1, in so many bits from a first one on."""
    listed = ", ".join(f"'{known}'" for known in words)
    sql = f"[{listed}][({BITS} >> {first}) & {(1 << width) - 1}]"
    return Stored(BITS, "int32", 0, sql, lambda places: (1 + places.astype("i4")) << first, words)


def share(first: int) -> Stored:
    """A share in whole per cent, plus 1, in seven bits."""
    per_cent = f"(({BITS} >> {first}) & 127)"

    def number(values: NDArray[Any]) -> NDArray[Any]:
        whole = (100 * values).round().astype("i4")
        if not ((whole >= 0) & (whole <= 100) & (whole / 100 == values)).all():
            raise ValueError("a share that is no whole per cent")
        return (1 + whole) << first

    return Stored(BITS, "int32", 0, f"CASE WHEN {per_cent} > 0 THEN ({per_cent} - 1) / 100.0 END", number)
