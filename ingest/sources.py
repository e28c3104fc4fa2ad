"""Where a word of a record comes from: a field of the event, and the rule that makes a number of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Where a word comes from: the first of `fields` that the event has, then the rule. Rules are in ingest/gather.py."""

    fields: tuple[str, ...]
    rule: str = "plain"
    more: tuple[str, ...] = ()
    constant: int = 0


def has(*fields: str) -> Source:
    """The value of the first of these fields that exists."""
    return Source(fields)


def page(*fields: str) -> Source:
    """A page number; what no file can have is none."""
    return Source(fields, "page")


def errno(*fields: str) -> Source:
    """A return value: an int that a probe fetched as 64 bits comes without its sign."""
    return Source(fields, "errno")


def order(*fields: str) -> Source:
    """1 << order pages; one page in kernels that do not tell."""
    return Source(fields, "order", constant=1)


def constant(value: int) -> Source:
    return Source((), "constant", constant=value)


def first_page(*fields: str) -> Source:
    """The page that holds a byte offset."""
    return Source(fields, "first_page")


def whole_first(*fields: str) -> Source:
    """The first page that lies whole at or after a byte offset."""
    return Source(fields, "whole_first")


def covering(offset: tuple[str, ...], length: tuple[str, ...]) -> Source:
    """Number of pages that a byte range touches."""
    return Source(offset, "covering", length)


def whole(offset: tuple[str, ...], length: tuple[str, ...]) -> Source:
    """Number of pages that lie whole inside a byte range: a punch only zeroes the others."""
    return Source(offset, "whole", length)


def distance(start: tuple[str, ...], end: tuple[str, ...]) -> Source:
    """Number of pages from one page number to another, the last included."""
    return Source(start, "distance", end)
