"""Where structures have their members: BTF made by hand, damaged BTF, and the running kernel's own."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from replay.btf import Layout, Member, read_layout
from replay.errors import TraceError

INT, PTR, STRUCT, UNION, ENUM, TYPEDEF, CONST, FUNC, PROTO = 1, 2, 4, 5, 6, 8, 10, 12, 13
BTF = Path("/sys/kernel/btf/vmlinux")


class Maker:
    """BTF with one type after another; each call gives the number of the new type."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types = b""
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(
        self, kind: int, name: str, target: int, entries: tuple[tuple[int, ...], ...] = (), *, tail: tuple[int, ...] = (), flag: int = 0
    ) -> int:
        words = [self.name(name), flag << 31 | kind << 24 | len(entries), target, *tail, *(word for entry in entries for word in entry)]
        self.types += struct.pack(f"{len(words)}I", *words)
        self.count += 1
        return self.count

    def blob(self) -> bytes:
        return struct.pack("HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings)) + self.types + self.strings


def folio() -> Maker:
    """A folio with an unnamed union of an unnamed structure, a named one inside, a pointer through const and typedef."""
    make = Maker()
    number = make.add(INT, "unsigned long", 8, tail=(64,))
    mapping = make.add(STRUCT, "address_space", 8, ((make.name("host"), 0, 0),))
    alias = make.add(TYPEDEF, "mapping_t", make.add(CONST, "", mapping))
    pointer = make.add(PTR, "", alias)
    atomic = make.add(STRUCT, "", 4, ((make.name("counter"), number, 0),))
    inner = make.add(
        STRUCT, "", 24, ((make.name("flags"), number, 0), (make.name("mapping"), pointer, 64), (make.name("_refcount"), atomic, 128))
    )
    union = make.add(UNION, "", 24, ((0, inner, 0),))
    # With the flag set, an offset's upper byte is the width of a bitfield.
    make.add(STRUCT, "folio", 40, ((0, union, 64), (make.name("few"), number, 3 << 24 | 264)), flag=1)
    make.add(ENUM, "pageflags", 4, ((make.name("PG_locked"), 0), (make.name("PG_head"), 6)))
    proto = make.add(PROTO, "", 0, ((make.name("folio"), pointer), (make.name("keep_write"), number)))
    make.add(FUNC, "start", proto)
    return make


def read(data: bytes) -> Layout:
    return read_layout("btf", data, {"folio", "address_space"}, {"PG_head"}, {"start"})


def test_members_values_and_arguments() -> None:
    found = read(folio().blob())
    assert found.members == {
        "address_space": {"host": Member(0, "")},
        "folio": {
            "flags": Member(8, ""),
            "mapping": Member(16, "address_space"),
            "_refcount": Member(24, ""),
            "_refcount.counter": Member(24, ""),
            "few": Member(33, ""),
        },
    }
    assert found.values == {"PG_head": 6}
    assert found.arguments == {"start": ("folio", "keep_write")}


def test_cut_or_foreign_data_is_one_error() -> None:
    whole = folio().blob()
    for size in range(len(whole)):
        with pytest.raises(TraceError, match=r"^btf: byte \d+: .*BTF"):
            read(whole[:size])
    with pytest.raises(TraceError, match="no BTF"):
        read(b"\x7fELF" + whole)


def test_a_structure_that_holds_itself_ends() -> None:
    make = Maker()
    make.add(STRUCT, "folio", 8, ((0, 1, 0),))
    assert read(make.blob()).members == {"folio": {}}


@pytest.mark.skipif(not BTF.exists(), reason="this kernel has no BTF")
def test_the_running_kernel_describes_itself() -> None:
    found = read_layout(str(BTF), BTF.read_bytes(), {"address_space", "inode"}, (), {"do_exit"})
    assert found.members["address_space"]["host"] == Member(0, "inode")
    assert found.members["inode"]["i_sb"].struct == "super_block"
