"""Pins and memory regions: mappings of probes of mm/gup.c and drivers/infiniband/core/umem.c. See ingest/mappings.py."""

from __future__ import annotations

from replay.ingest.sources import DEV_INO, Mapping, errno, first_page, folio_pages, has, page

_LET_GO = {"npages": has("npages", "n"), "b": has("common_flags"), "c": folio_pages("head", "order")}
_TAIL = {"c": has("page"), "d": has("compound")}

PIN_MAPPINGS = (
    Mapping(
        "pin",
        "pin_call",
        ("pin_user_pages_fast", "pin_user_pages", "pin_user_pages_remote", "pin_fast", "pin", "pin_remote"),
        needs=("start",),
        words={"a": has("start"), "b": has("nr_pages", "nr"), "c": has("gup_flags", "flags")},
    ),
    Mapping(
        "pin",
        "pin_return",
        ("pin_user_pages_fast_ret", "pin_user_pages_ret", "pin_user_pages_remote_ret", "pin_fast_ret", "pin_ret", "pin_remote_ret"),
        needs=("ret",),
        words={"a": errno("ret")},
    ),
    # Inside of a pin call, a fault shows how far the call has come.
    Mapping("pin", "fault", ("mm_filemap_fault",), ("filemap",), words={"ino": has("ino", "i_ino"), "index": page("index")}),
    # The page of a fault is dirty, and its task made to wait before it goes on.
    Mapping("pin", "throttle", ("balance_dirty_pages",), ("writeback",)),
    # iomap_page_mkwrite goes over the whole folio of the page that faults.
    Mapping("pin", "fault", ("iomap_iter",), ("iomap",), words={"ino": has("ino"), "index": first_page("pos")}),
    Mapping(
        "unpin",
        "unpin",
        ("unpin_user_page_range_dirty_lock", "unpin_user_pages_dirty_lock", "unpin_user_pages", "unpin_range", "unpin_dirty", "unpin"),
        words={"npages": has("npages", "n"), "a": has("make_dirty", "dirty")},
    ),
    # Direct IO and io_uring, in whatever task or interrupt; only pages of files tell which they are. Of a folio's pages but the first
    # (compound_head has bit 0 set) the first one knows the file, and its own address which page of the folio it is.
    Mapping(
        "unpin",
        "unpin_page",
        ("unpin_user_page", "unpin_user_folio", "unpin_page", "unpin_folio"),
        words={**_LET_GO, **DEV_INO, "index": page("index", "idx"), "a": has("mapping", "map")},
        unless=("compound", 1),
    ),
    Mapping(
        "unpin",
        "unpin_page",
        ("unpin_user_page", "unpin_page"),
        needs=("page", "compound", "head_ino", "head_index"),
        words={**_LET_GO, "dev": has("head_dev"), "ino": has("head_ino"), "index": page("head_index"), "a": has("head_mapping"), **_TAIL},
        only=("compound", 1),
        beside=True,
    ),
    Mapping(
        "mr_reg",
        "register_call",
        ("ib_umem_get", "umem_get"),
        needs=("addr", "size", "access"),
        words={"a": has("addr"), "b": has("size"), "c": has("access"), "d": has("dev", "device")},
    ),
    Mapping(
        "mr_reg",
        "register_odp",
        ("ib_umem_odp_get", "odp_get"),
        needs=("addr", "size", "access"),
        words={"a": has("addr"), "b": has("size"), "c": has("access"), "d": has("dev", "device")},
    ),
    Mapping(
        "mr_reg",
        "register_return",
        ("ib_umem_get_ret", "umem_get_ret", "ib_umem_odp_get_ret", "odp_get_ret"),
        needs=("umem",),
        words={"a": has("umem")},
    ),
    Mapping(
        "mr_dereg", "release", ("ib_umem_release", "umem_release", "ib_umem_odp_release"), (), ("umem",), {"a": has("umem", "umem_odp")}
    ),
    Mapping(
        "remote_write", "remote", ("rxe_mr_copy",), (), ("iova", "length", "dir"), {"a": has("iova"), "b": has("length"), "c": has("dir")}
    ),
)
