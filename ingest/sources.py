"""Forms of the declared mappings: which event, and for each word of a record the field and the rule that makes a number of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Source:
    """Where a word comes from: the first of `fields` that the event has, then the rule. Rules are in ingest/gather.py."""

    fields: tuple[str, ...]
    rule: str = "plain"
    more: tuple[str, ...] = ()
    constant: int = 0


@dataclass(frozen=True, slots=True)
class Mapping:
    """One canonical use of an event. `systems` is empty for dynamic probes, whose group the user names.

    `only` names a field and bits of it, one of which must be set: other records of the event mean nothing here, nor do those
    that `unless` names likewise. An entry `beside` another is about other records of the same event. `actor` is the field that
    tells the acting thread, where that is not common_pid.
    """

    op: str
    step: str
    events: tuple[str, ...]
    systems: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    words: dict[str, Source] = field(default_factory=dict)
    weak: bool = False
    only: tuple[str, int] | None = None
    unless: tuple[str, int] | None = None
    beside: bool = False
    actor: str = "common_pid"


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


def folio_pages(head: str, order: str) -> Source:
    """1 << order pages of a folio that `head` says to have several, else one."""
    return Source((head,), "folio", (order,), 1)


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


def device(major: str, minor: str) -> Source:
    """A device number as the kernel has it (include/linux/kdev_t.h)."""
    return Source((major,), "device", (minor,))


def shared(flags: str) -> Source:
    """VM_SHARED as the MAP_SHARED of mmap's flags tells."""
    return Source((flags,), "shared")


def clone_flags(process: str, parent: str) -> Source:
    """CLONE_THREAD if both are the same process, else no flags."""
    return Source((process,), "clone_flags", (parent,))


def distance(start: tuple[str, ...], end: tuple[str, ...]) -> Source:
    """Number of pages from one page number to another, the last included."""
    return Source(start, "distance", end)


DEV_INO = {"dev": has("dev", "s_dev"), "ino": has("ino", "i_ino")}
