"""The kernel probes of a recording: one row for each, and what is lost without it. Tracepoints: replay/tracepoints.py.

A probe's prototype is the kernel's own, and its fields read arguments as C does. The kernel takes such fields as they stand
from Linux 6.6 on, if it has BTF; for all others they become registers and offsets (replay/recordplan.py). Event and field names
are those that ingest knows (ingest/mappings.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int]
GROUP = "replay"
"""Every probe of ours is in this group, so that those of a recording that was killed can be told from other people's."""

_ANY: Version = (0, 0)
_NONE: Version = (1 << 16, 0)


@dataclass(frozen=True, slots=True)
class Form:
    """A function that does what the row is about, in kernels from `since` up to but not including `until`."""

    prototype: str
    fields: str = ""
    since: Version = _ANY
    until: Version = _NONE

    @property
    def symbol(self) -> str:
        return self.prototype.partition("(")[0]

    @property
    def arguments(self) -> tuple[tuple[str, str], ...]:
        """(name, struct that it points to or "") of each argument."""
        inside = self.prototype.partition("(")[2].rstrip(")")
        found = []
        for argument in inside.split(", "):
            name = re.split(r"[ *]", argument)[-1]
            struct = re.match(r"(?:const )?struct (\w+) \*\w", argument)
            found.append((name, struct[1] if struct else ""))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Probe:
    """One event: the first of `forms` that the kernel has. `returns` are the fields of a second event NAME_ret, at the return.

    Of alternatives divided by | the first that the kernel has is taken; without a field marked ? the event is still of use.
    Kernels before `needed_since` do without the function.
    """

    event: str
    gives: str
    without: str
    forms: tuple[Form, ...]
    returns: str = ""
    needed_since: Version = _ANY


_ORDER = "head?=folio->flags.f:b1@PG_head/32|folio->flags:b1@PG_head/32 order?=folio->_folio_order:u8|folio->_flags_1:b8@0/64"
# A folio: which file's page it is, and what the kernel itself knows of its pins (refs; pincount where it has several pages).
_FOLIO = (
    "folio=folio:x64 ino=folio->mapping->host->i_ino:u64 index=folio->index:u64 "
    f"refs?=folio->_refcount.counter:s32 {_ORDER} pincount?=folio->_pincount.counter:s32"
)
_PAGE = "page=page:x64 ino=page->mapping->host->i_ino:u64 index=page->index:u64 refs?=page->_refcount.counter:s32"
_PIN = "start=start:x64 nr_pages=nr_pages:u64 gup_flags=gup_flags:x32"
_PINS = "without it pins are not seen at all: no policy has anything to decide about them"
# What is let go of: mapping tells pages of files from others, of which nothing else is known. Of a folio's pages but the first,
# which compound_head tells, the first one knows it.
_LET_GO = "{0}mapping{1}={2}->mapping:x64 {0}ino{1}={2}->mapping->host->i_ino:u64 {0}dev?={2}->mapping->host->i_sb->s_dev:u32"
_PAGE_LET_GO = (
    f"{_LET_GO.format('', '', 'page')} index=page->index:u64|page->__folio_index:u64 compound?=page->compound_head:x64 "
    f"{_LET_GO.format('head_', '?', 'page->compound_head')} "
    "head_index?=page->compound_head->index:u64|page->compound_head->__folio_index:u64"
)
_UNPINS = "pins that are let go without a memory region's release stay until their process ends"
_SHORT_UNPINS = "how long direct IO pins pages of mapped files is unknown: they count as pinned for no time"

PROBES = (
    Probe(
        "mmap_region",
        "which file lies at which address",
        "no page identity: pins are resolved only in mappings that were there before the recording",
        (
            Form(
                "mmap_region(struct file *file, unsigned long addr, unsigned long len, vm_flags_t vm_flags, unsigned long pgoff, "
                "struct list_head *uf)",
                "ino=file->f_inode->i_ino:u64 dev=file->f_inode->i_sb->s_dev:u32 addr=addr:x64 len=len:u64 vm_flags=vm_flags:x64 "
                "pgoff=pgoff:u64",
                since=(4, 12),
            ),
        ),
    ),
    Probe(
        "pin_user_pages_fast",
        "pins: RDMA registrations, direct IO",
        _PINS,
        (
            Form(
                "pin_user_pages_fast(unsigned long start, int nr_pages, unsigned int gup_flags, struct page **pages)",
                "start=start:x64 nr_pages=nr_pages:s32 gup_flags=gup_flags:x32",
                since=(5, 6),
            ),
        ),
        "ret=$retval:s32",
    ),
    Probe(
        "pin_user_pages",
        "pins: io_uring's registered buffers, AF_XDP",
        "pins of io_uring's registered buffers are not seen",
        (
            Form(
                "pin_user_pages(unsigned long start, unsigned long nr_pages, unsigned int gup_flags, struct page **pages, "
                "struct vm_area_struct **vmas)",
                _PIN,
                since=(5, 6),
                until=(6, 5),
            ),
            Form(
                "pin_user_pages(unsigned long start, unsigned long nr_pages, unsigned int gup_flags, struct page **pages)",
                _PIN,
                since=(6, 5),
            ),
        ),
        "ret=$retval:s64",
    ),
    Probe(
        "unpin_user_page_range_dirty_lock",
        "when a memory region lets its pages go, and dirties them",
        "the dirtying of pages at a region's release is taken from its access flags",
        (
            Form(
                "unpin_user_page_range_dirty_lock(struct page *page, unsigned long npages, bool make_dirty)",
                "page=page:x64 npages=npages:u64 make_dirty=make_dirty:u8",
                since=(5, 14),
            ),
        ),
        needed_since=(5, 14),
    ),
    Probe(
        "unpin_user_pages_dirty_lock",
        "when pages are let go, and dirtied",
        _UNPINS,
        (
            Form(
                "unpin_user_pages_dirty_lock(struct page **pages, unsigned long npages, bool make_dirty)",
                "pages=pages:x64 npages=npages:u64 make_dirty=make_dirty:u8",
                since=(5, 6),
            ),
        ),
    ),
    Probe(
        "unpin_user_pages",
        "when pages are let go",
        _UNPINS,
        (Form("unpin_user_pages(struct page **pages, unsigned long npages)", "pages=pages:x64 npages=npages:u64", since=(5, 6)),),
    ),
    Probe(
        "unpin_user_page",
        "when direct IO lets its pages go, and io_uring its registered buffers",
        _SHORT_UNPINS,
        (
            Form(
                "unpin_user_page(struct page *page)",
                f"page=page:x64 {_PAGE_LET_GO}",
                since=(6, 3),
            ),
        ),
        needed_since=(6, 3),
    ),
    Probe(
        "unpin_user_folio",
        "the same, of folios",
        _SHORT_UNPINS,
        (
            Form(
                "unpin_user_folio(struct folio *folio, unsigned long npages)",
                f"folio=folio:x64 npages=npages:u64 {_LET_GO.format('', '', 'folio')} index=folio->index:u64 {_ORDER}",
                since=(6, 12),
            ),
        ),
        needed_since=(6, 12),
    ),
    Probe(
        "ib_umem_get",
        "RDMA memory regions: who registers what, how",
        "no memory regions: pins belong to nobody who could give them up, and writes by the device are unknown",
        (
            Form(
                "ib_umem_get(struct ib_device *device, unsigned long addr, size_t size, int access)",
                "dev=device:x64 addr=addr:x64 size=size:u64 access=access:x32",
                since=(5, 6),
            ),
        ),
        "umem=$retval:x64",
    ),
    Probe(
        "ib_umem_odp_get",
        "on-demand paging: memory regions without pins",
        "memory regions with on-demand paging are not seen",
        (
            Form(
                "ib_umem_odp_get(struct ib_device *device, unsigned long addr, size_t size, int access, "
                "const struct mmu_interval_notifier_ops *ops)",
                "dev=device:x64 addr=addr:x64 size=size:u64 access=access:x32",
                since=(5, 6),
            ),
        ),
        "umem=$retval:x64",
    ),
    Probe(
        "ib_umem_release",
        "when a memory region ends",
        "memory regions last until their process ends",
        (Form("ib_umem_release(struct ib_umem *umem)", "umem=umem:x64"),),
    ),
    Probe(
        "rxe_mr_copy",
        "reads and writes of the remote side, as soft-RoCE sees them",
        "remote accesses are assumed rather than known, as they are with any real hardware (remote.activity)",
        (
            Form(
                "rxe_mr_copy(struct rxe_mr *mr, u64 iova, void *addr, int length, enum rxe_mr_copy_dir dir)",
                "iova=iova:x64 length=length:s32 dir=dir:s32",
                since=(5, 15),
            ),
            Form(
                "rxe_mem_copy(struct rxe_mem *mem, u64 iova, void *addr, int length, enum copy_direction dir, u32 *crcp)",
                "iova=iova:x64 length=length:s32 dir=dir:s32",
                until=(5, 15),
            ),
        ),
    ),
    Probe(
        "folio_start_writeback",
        "writeback of each folio, with the kernel's own count of its pins",
        "no writeback of single pages on ext4: policies that differ in it look the same, and replay validate has nothing to compare",
        (
            Form("__folio_start_writeback(struct folio *folio, bool keep_write)", _FOLIO, since=(5, 16)),
            Form("__test_set_page_writeback(struct page *page, bool keep_write)", _PAGE, until=(5, 16)),
        ),
    ),
    Probe(
        "folio_end_writeback",
        "when each writeback ends",
        "writebacks have no end: waits for them cannot be told from their length",
        (
            # What folio_end_writeback calls, as do others since Linux 6.17.
            Form("folio_end_writeback_no_dropbehind(struct folio *folio)", _FOLIO, since=(6, 17)),
            Form("folio_end_writeback(struct folio *folio)", _FOLIO, since=(5, 16)),
            Form("end_page_writeback(struct page *page)", _PAGE, until=(5, 16)),
        ),
    ),
    Probe(
        "dax_layout_busy_page_range",
        "waits for pinned DAX pages",
        "waits of truncate and hole punch for pinned DAX pages are not seen",
        (
            Form(
                "dax_layout_busy_page_range(struct address_space *mapping, loff_t start, loff_t end)",
                "ino=mapping->host->i_ino:u64 start=start:s64 end=end:s64",
                since=(5, 10),
            ),
        ),
        "page=$retval:x64",
    ),
)
