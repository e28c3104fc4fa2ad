"""Every table that crosses a wall of this program, declared once, as data.

The Parquet schemas, the DuckDB views and their column comments, the tests and the documentation derive from here.
Times are int64 nanoseconds of the trace's clock, sizes int64 bytes, page numbers in 4096-byte units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from replay.stored import Stored, flag, lead, named, natural, share, word

if TYPE_CHECKING:
    import pyarrow as pa

PAGE_BYTES = 4096

# The position in this tuple is the operation's number in the compiled core (_ext/ops.pxd); a test holds the two together.
OPS = (
    "pin",
    "unpin",
    "mr_reg",
    "mr_dereg",
    "remote_write",
    "remote_read",
    "dirty",
    "wb_start",
    "wb_end",
    "wb_wait",
    "fsync",
    "truncate",
    "punch",
    "fallocate",
    "collapse",
    "reflink",
    "layout_wait",
    "reclaim",
    "migrate",
    "cache_add",
    "cache_del",
    "block_alloc",
    "block_free",
    "lease_add",
    "lease_del",
    "lease_break",
    "mmap",
    "munmap",
    "fork",
    "exec",
    "exit",
)

# Operations that last: one row with a duration; an end that never came is dur = NULL and open = true.
INTERVAL_OPS = frozenset(
    {"wb_wait", "fsync", "truncate", "punch", "fallocate", "collapse", "reflink", "layout_wait", "lease_break", "mr_reg"}
)

# Operations that change a file's block layout, hence meet a policy's `layout` decision.
LAYOUT_OPS = frozenset({"truncate", "punch", "collapse", "reflink"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type ("string" is dictionary-encoded where `category`), unit, and a sentence.

    `always`: every row has a value. `stored`: how it lies in Parquet, if not as it is.
    """

    name: str
    type: str
    doc: str
    unit: str = ""
    category: bool = False
    always: bool = False
    stored: Stored | None = None

    def field(self) -> pa.Field:
        """The column of Parquet that holds it."""
        import pyarrow as pa

        types = {
            "int64": pa.int64(),
            "int32": pa.int32(),
            "int16": pa.int16(),
            "uint64": pa.uint64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "string": pa.string(),
        }
        type_ = types[self.stored.type if self.stored else self.type]
        if self.category and pa.types.is_string(type_):
            type_ = pa.dictionary(pa.int32(), type_)
        return pa.field(self.stored.name if self.stored else self.name, type_, nullable=not (self.stored or self.always))


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its name in SQL, a sentence, and its columns in order."""

    name: str
    doc: str
    columns: tuple[Column, ...]

    def arrow_schema(self) -> pa.Schema:
        """The columns as they lie in Parquet."""
        import pyarrow as pa

        return pa.schema(list({field.name: field for field in (column.field() for column in self.columns)}.values()))


_TRACE = Column("trace", "string", "The trace's id.", category=True)
_TS = Column("ts", "int64", "When, on the trace's clock.", "ns")
_FILE = Column(
    "file",
    "string",
    "The file, as major:minor:inode (#2 added to the second of an inode number), or as an events.jsonl named it.",
    category=True,
)
_INDEX = Column("index", "int64", "First page of the range within the file.", "pages")
_NPAGES = Column("npages", "int64", "Length of the range.", "pages")
_PIN = Column("pin", "int64", "The pin, as in table pins.")
_MR = Column("mr", "int64", "The memory region, as in table mrs.")

# How the page identity of an event or pin was found.
ID_SOURCES = ("direct", "mapping", "inherited", "anonymous", "iova", "cooccurrence", "unresolved")

EVENTS = Table(
    "events",
    "Canonical events in time order: what the trace says, in the words of mm, fs and RDMA.",
    (
        Column(
            "seq",
            "int64",
            "Position of the raw record in the merged trace, from 0; joins raw_* tables. For events.jsonl the line number, from 0.",
            always=True,
        ),
        replace(_TS, always=True),
        Column("cpu", "int32", "CPU that recorded the event.", stored=natural("cpu", "int32")),
        Column("op", "string", "What happened; one of the canonical operations.", category=True, always=True),
        Column("tid", "int32", "Thread id of the task that ran.", always=True),
        Column("tgid", "int32", "Process id, where the trace tells it.", stored=natural("tgid", "int32")),
        Column("comm", "string", "Name of the task.", category=True, stored=named("comm")),
        replace(_FILE, stored=named("file")),
        Column("index", "int64", "First page of the range within the file.", "pages", stored=natural("index")),
        Column(
            "npages",
            "int64",
            "Length of the range; NULL for a truncate (to the end of the file) or an unknown range.",
            "pages",
            stored=natural("npages"),
        ),
        Column(
            "dur",
            "int64",
            "How long the operation took, its recorded stalls included; NULL where it has no duration or never ended.",
            "ns",
            stored=natural("dur"),
        ),
        Column("open", "bool", "True where the operation began and no end was recorded.", stored=flag(6)),
        replace(_PIN, stored=natural("pin", "int32", sql_type="BIGINT")),
        replace(_MR, stored=natural("mr", "int32", sql_type="BIGINT")),
        Column("device", "string", "RDMA device, or block device of a block event.", category=True),
        Column("write", "bool", "The pin or MR lets the device write.", stored=flag(0)),
        Column("longterm", "bool", "The pin is long-term (FOLL_LONGTERM).", stored=flag(1)),
        Column("dirty", "bool", "The unpin marks its pages dirty.", stored=flag(2)),
        Column("sync", "bool", "The writeback is for data integrity (WB_SYNC_ALL).", stored=flag(3)),
        Column("dax", "bool", "The file is mapped directly (DAX); NULL where the event says nothing.", stored=flag(7)),
        Column("odp", "bool", "The MR is on-demand paged.", stored=flag(4)),
        Column("bytes", "int64", "Bytes moved by a remote access, or length of a registration.", "bytes", stored=natural("bytes")),
        Column("result", "int64", "What the call returned: pages pinned, 0, or a negative errno."),
        Column("addr", "uint64", "User address of a pin, MR or mapping.", "bytes"),
        Column("owner", "uint64", "Lease owner or other kernel object that identifies the holder."),
        Column("kind", "string", "Variant of the operation, such as fallocate's mode or the lease's type.", category=True),
        Column("block", "int64", "First file system block of a block event.", "blocks"),
        Column("nblocks", "int64", "Length of a block event.", "blocks"),
        Column("pfn", "int64", "Page frame number of a page cache event.", stored=natural("pfn")),
        Column("busy", "bool", "A layout wait found a busy page.", stored=flag(5)),
        Column(
            "id_source",
            "string",
            f"How the page identity was found: {', '.join(ID_SOURCES)}.",
            category=True,
            stored=word(16, 4, ID_SOURCES),
        ),
        Column("id_confidence", "float64", "How sure that is, 0 to 1 (design rule, not a measurement).", stored=share(20)),
        Column(
            "slot",
            "int64",
            "First dense page slot of the range, for the replay loop; -1 where the event touches no known page.",
            always=True,
            stored=lead("index", count="nslots"),
        ),
        Column("nslots", "int64", "Slots in the range.", "pages", always=True),
    ),
)

FILES = Table(
    "files",
    "Files that any event names.",
    (
        _FILE,
        Column("file_id", "int32", "Dense number of the file in this trace."),
        Column("dev", "string", "Device as major:minor; NULL where unknown."),
        Column("ino", "uint64", "Inode number; NULL where unknown."),
        Column("generation", "uint64", "Generation of the inode number; NULL where unknown."),
        Column("dax", "bool", "True where the trace shows the file mapped directly."),
        Column("slot", "int64", "First page slot of the file."),
        Column("nslots", "int64", "Pages of the file that any event touches.", "pages"),
        Column("events", "int64", "Canonical events on the file."),
    ),
)

SLOTS = Table(
    "slots",
    "How (file, index) maps to dense page slots: one row per contiguous run of touched pages.",
    (
        Column("file_id", "int32", "The file."),
        _INDEX,
        _NPAGES,
        Column("slot", "int64", "Slot of the run's first page."),
    ),
)

TASKS = Table(
    "tasks",
    "Threads that ran any event.",
    (
        Column("tid", "int32", "Thread id."),
        Column("tgid", "int32", "Process id, where the trace tells it."),
        Column("comm", "string", "Last name seen."),
        Column("kthread", "bool", "True where the name is that of a kernel worker."),
        Column("events", "int64", "Canonical events of the thread."),
    ),
)

MRS = Table(
    "mrs",
    "RDMA memory regions and other long-lived registrations.",
    (
        Column("mr", "int64", "The memory region, numbered in order of registration."),
        Column("label", "string", "The name by which the trace knows it: the umem's address, an lkey, or the input's own number."),
        Column("device", "string", "RDMA device.", category=True),
        Column("tid", "int32", "Thread that registered it."),
        Column("tgid", "int32", "Its process, where known."),
        Column("comm", "string", "Its name.", category=True),
        Column("addr", "uint64", "User address.", "bytes"),
        Column("bytes", "int64", "Length.", "bytes"),
        _FILE,
        _INDEX,
        Column("npages", "int64", "Pages pinned through it that belong to files.", "pages"),
        Column("write", "bool", "The device may write."),
        Column("odp", "bool", "On-demand paged."),
        Column("result", "int64", "0, or the negative errno of a refused registration."),
        Column("ts_reg", "int64", "When registration began; NULL if before the trace.", "ns"),
        Column("ts_dereg", "int64", "When it was released; NULL if after the trace.", "ns"),
        Column("preexisting", "bool", "Registered before the trace began."),
    ),
)

PINS = Table(
    "pins",
    "Pinned ranges: one row per contiguous file range of one pin call.",
    (
        _PIN,
        _MR,
        Column("tid", "int32", "Thread that pinned."),
        Column("tgid", "int32", "Its process, where known."),
        _FILE,
        _INDEX,
        _NPAGES,
        Column("slot", "int64", "First page slot; -1 for memory that belongs to no known file."),
        Column("addr", "uint64", "User address of the range.", "bytes"),
        Column("write", "bool", "The device may write."),
        Column("longterm", "bool", "FOLL_LONGTERM."),
        Column("ts_pin", "int64", "When the pages were pinned; NULL if before the trace.", "ns"),
        Column("ts_unpin", "int64", "When they were released; NULL if after the trace.", "ns"),
        Column("preexisting", "bool", "Pinned before the trace began."),
        Column("id_source", "string", "How the page identity was found.", category=True),
        Column("id_confidence", "float64", "How sure that is, 0 to 1."),
    ),
)

TRACEPOINTS = Table(
    "tracepoints",
    "What the trace holds: one row per raw table.",
    (
        Column("system", "string", "Tracepoint system or probe group."),
        Column("event", "string", "Event name."),
        Column("rows", "int64", "Records."),
        Column("mapped", "string", "Canonical operation that it becomes; NULL where it stays raw only."),
    ),
)

LOSSES = Table(
    "losses",
    "What was lost, skipped or left unresolved.",
    (
        Column("counter", "string", "Name of the declared counter."),
        Column("cpu", "int32", "CPU, where the loss belongs to one."),
        Column("severity", "string", "info, warning or data_loss."),
        Column("count", "int64", "How many."),
        Column("total", "int64", "Of how many, where that is known."),
        Column("meaning", "string", "What the number means."),
        Column("advice", "string", "What to do about it."),
    ),
)

_RUN = Column("run", "string", "The run's id.", category=True)
_POLICY = Column("policy", "string", "The policy's name as given.", category=True)
_OUTCOME = (_RUN, _POLICY, _TRACE)

CONFLICTS = Table(
    "conflicts",
    "Where the policy and the device met: one row per event and contiguous page range.",
    (
        *_OUTCOME,
        _TS,
        Column("class", "string", "The conflict's class.", category=True),
        Column("risk", "string", "corruption (data at risk), availability (service lost) or pressure (cost).", category=True),
        Column("op", "string", "The operation that ran into it.", category=True),
        _FILE,
        _INDEX,
        _NPAGES,
        Column("bytes", "int64", "Size of the range.", "bytes"),
        _PIN,
        _MR,
        Column("culprit_tid", "int32", "Thread that owns the pin."),
        Column("victim_tid", "int32", "Thread that ran into it."),
    ),
)

STALLS = Table(
    "stalls",
    "Who waited for a pin, and how long. Time blocked by the pin only, without the operation's own service time.",
    (
        *_OUTCOME,
        _TS,
        Column("dur", "int64", "How long; to the end of the trace where unbounded.", "ns"),
        Column("unbounded", "bool", "Still waiting at the end of the trace."),
        Column("op", "string", "The operation that waited.", category=True),
        Column("role", "string", "app, kworker, breaker or remote.", category=True),
        Column("tid", "int32", "Thread that waited."),
        _FILE,
        _INDEX,
        _NPAGES,
        _PIN,
        _MR,
    ),
)

REFUSALS = Table(
    "refusals",
    "Pins and registrations that the policy refused.",
    (
        *_OUTCOME,
        _TS,
        Column("reason", "string", "Which admission rule refused.", category=True),
        Column("errno", "int32", "What the caller would have seen."),
        Column("tid", "int32", "Thread that asked."),
        _FILE,
        _INDEX,
        _NPAGES,
        _PIN,
        _MR,
    ),
)

REVOCATIONS = Table(
    "revocations",
    "MRs taken from their owners.",
    (
        *_OUTCOME,
        _TS,
        Column("reason", "string", "lease_break, collateral, timeout_fail_io, timeout_kill.", category=True),
        Column("op", "string", "The operation that caused it.", category=True),
        Column("tid", "int32", "Thread that owned the MR."),
        Column("breaker_tid", "int32", "Thread that caused the revocation."),
        _FILE,
        _NPAGES,
        _MR,
    ),
)

COSTS = Table(
    "costs",
    "Totals per run.",
    (
        *_OUTCOME,
        Column("metric", "string", "Name of the cost.", category=True),
        Column("unit", "string", "Its unit.", category=True),
        Column("value", "float64", "Its value."),
    ),
)

SERIES = Table(
    "series",
    "The same costs over time: the amount that fell into each interval.",
    (
        *_OUTCOME,
        Column("metric", "string", "Name of the cost.", category=True),
        Column("unit", "string", "Its unit.", category=True),
        Column("ts", "int64", "Start of the interval.", "ns"),
        Column("dur", "int64", "Length of the interval.", "ns"),
        Column("value", "float64", "The amount in it."),
    ),
)

TRACES = Table(
    "traces",
    "Traces in the store.",
    (
        _TRACE,
        Column("source", "string", "File name that was ingested."),
        Column("format", "string", "Its format."),
        Column("clock", "string", "Trace clock."),
        Column("uname", "string", "Kernel that recorded it, where the file tells."),
        Column("cpus", "int32", "CPUs recorded."),
        Column("ts_first", "int64", "First event.", "ns"),
        Column("ts_last", "int64", "Last event.", "ns"),
        Column("raw_events", "int64", "Records decoded."),
        Column("events", "int64", "Canonical events."),
        Column("pins", "int64", "Pinned ranges."),
        Column("pins_unresolved", "int64", "Pin calls whose pages could not be resolved to a file or to anonymous memory."),
        Column("lost_events", "int64", "Records that the kernel lost, as far as it said."),
    ),
)

RUNS = Table(
    "runs",
    "Replays in the store.",
    (
        _RUN,
        _POLICY,
        _TRACE,
        Column("params", "string", "Every parameter with its value, as JSON."),
        Column("decisions", "string", "The five decisions, as JSON."),
        Column("engine", "string", "Version of the replay engine."),
    ),
)

LIFETIMES = Table(
    "lifetimes",
    "How long pages were pinned, as recorded: one row per pinned range, within the trace.",
    (
        Column("trace", "string", "The trace's id, as in table traces."),
        _PIN,
        _MR,
        Column("tid", "int32", "Thread that pinned."),
        Column("tgid", "int32", "Its process, as far as the trace tells."),
        Column("comm", "string", "The thread's name."),
        _FILE,
        _INDEX,
        _NPAGES,
        Column("write", "bool", "The device may write."),
        Column("longterm", "bool", "FOLL_LONGTERM."),
        Column("ts", "int64", "When the pages were pinned; the trace's begin if before.", "ns"),
        Column("dur", "int64", "How long they were; to the trace's end where still pinned.", "ns"),
        Column("preexisting", "bool", "Pinned before the trace began."),
        Column("alive", "bool", "Still pinned at the end of the trace."),
        Column("ts_used", "int64", "Last remote access through its memory region, before the release; NULL if the trace shows none.", "ns"),
        Column("idle", "int64", "From then to the release, or to the trace's end; NULL if never used.", "ns"),
    ),
)

PINNED = Table(
    "pinned",
    "Pages pinned over time, as recorded: one row for each time at which their number changes. Under a policy: see pinned_page_seconds in "
    "series.",
    (
        Column("trace", "string", "The trace's id, as in table traces."),
        Column("ts", "int64", "From when on; the trace's begin for what was pinned before.", "ns"),
        Column("pages", "int64", "Pages pinned until the next row; a page that is pinned twice counts twice."),
    ),
)

TRACE_TABLES = (EVENTS, FILES, SLOTS, TASKS, MRS, PINS, TRACEPOINTS, LOSSES)
RUN_TABLES = (CONFLICTS, STALLS, REFUSALS, REVOCATIONS, COSTS, SERIES)
CATALOG_TABLES = (TRACES, RUNS)
# Made of the others by queries/_NAME.sql.
DERIVED_TABLES = (LIFETIMES, PINNED)
