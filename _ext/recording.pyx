"""The recorded trace as the engine sees it: columns of numbers, checked once, shared by every policy.

After the checks no number in them can lead outside of a table: the replay follows them without looking again. The arrays
belong to the Trace from then on and must not be written to.
"""

import numpy as np

from libc.stdint cimport INT32_MAX, int8_t, int32_t, int64_t, uint8_t

from replay._ext.ops cimport N_OPS, OP_CACHE_DEL, OP_REMOTE_READ, OP_REMOTE_WRITE
from replay._ext.world cimport Rows

_LIMIT = 1 << 61            # of times, in nanoseconds: sums of three stay in range

cdef dict TYPES = {"i8": np.int8, "i32": np.int32, "i64": np.int64, "u8": np.uint8}

COLUMNS = {
    "row_ts": "i64", "row_op": "i8", "row_task": "i32", "row_file": "i32", "row_slot": "i64", "row_nslots": "i64",
    "row_index": "i64", "row_npages": "i64", "row_dur": "i64", "row_bytes": "i64", "row_pin": "i32", "row_region": "i32", "row_flags": "u8",
    "task_owner": "i32", "task_kworker": "u8",
    "file_slot": "i64", "file_nslots": "i64", "file_dax": "u8",
    "pin_slot": "i64", "pin_npages": "i64", "pin_file": "i32", "pin_region": "i32", "pin_task": "i32", "pin_write": "u8",
    "pin_longterm": "u8", "pin_preexisting": "u8", "pin_released": "u8",
    "region_task": "i32", "region_device": "i32", "region_write": "u8",
    "run_slot": "i64", "run_index": "i64", "run_npages": "i64",
    "reuse_row": "i32", "reuse_slot": "i64", "reuse_npages": "i64",
}


cdef const int64_t* longs(object array):
    cdef const int64_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


cdef const int32_t* ints(object array):
    cdef const int32_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


cdef const uint8_t* bytes_of(object array):
    cdef const uint8_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


cdef const int8_t* codes(object array):
    cdef const int8_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


def _need(condition, what):
    if not condition:
        raise ValueError(what)


def _lie_within(values, low, high, what):
    """Every value in [low, high), else ValueError naming the first that is not."""
    bad = (values < low) | (values >= high)
    if bad.any():
        where = int(bad.argmax())
        raise ValueError(f"{what} {int(values[where])} at position {where}: expected {low} <= value < {high}")


def _ranges_lie_in_files(slot, npages, file, columns, what):
    """Every non-empty range of slots lies within its file's slots."""
    at = np.flatnonzero(npages > 0)
    _lie_within(file[at], 0, len(columns["file_slot"]), f"file of {what}")
    begin = columns["file_slot"][file[at]]
    size = columns["file_nslots"][file[at]]
    offset = slot[at] - begin
    bad = (offset < 0) | (offset > size) | (npages[at] > size - offset)
    if bad.any():
        where = int(at[bad.argmax()])
        raise ValueError(f"{what} {where}: slots {int(slot[where])} +{int(npages[where])} lie outside of its file")


def _take(columns):
    """The declared columns as contiguous arrays of the declared types that nobody writes any more."""
    taken = {}
    for name, kind in COLUMNS.items():
        _need(name in columns, f"column {name} is missing")
        array = np.ascontiguousarray(columns[name])
        _need(array.dtype == TYPES[kind] and array.ndim == 1, f"column {name}: expected one dimension of {kind}, got {array.dtype}")
        taken[name] = array
    for group in ("row", "task", "file", "pin", "region", "run", "reuse"):
        sizes = {len(array) for name, array in taken.items() if name.startswith(group + "_")}
        _need(len(sizes) == 1, f"columns {group}_* differ in length")
        _need(max(sizes) < INT32_MAX, f"columns {group}_*: more than {INT32_MAX - 1} entries")
    return taken


def _check_space(columns):
    """Runs tile the slots from 0 on; files lie within. Returns the number of slots."""
    slot, npages = columns["run_slot"], columns["run_npages"]
    _lie_within(npages, 1, _LIMIT >> 30, "length of run")
    ends = np.cumsum(npages)
    total = int(npages.sum())
    _need(total < INT32_MAX, f"{total} page slots are more than {INT32_MAX - 1}")
    _need(bool((slot == ends - npages).all()), "runs of slots do not follow each other")
    _lie_within(columns["file_slot"], -1, total + 1, "first slot of file")
    _lie_within(columns["file_nslots"], 0, total + 1, "slots of file")
    used = columns["file_nslots"] > 0
    _need(bool((columns["file_slot"][used] >= 0).all()), "a file's slots begin below 0")
    _need(bool((columns["file_slot"] + columns["file_nslots"] <= total)[used].all()), "a file's slots end behind the last slot")
    return total


def _check_entities(columns):
    n_tasks, n_regions = len(columns["task_owner"]), len(columns["region_task"])
    _lie_within(columns["task_owner"], 0, n_tasks, "owner of task")
    _lie_within(columns["region_task"], 0, n_tasks, "task of region")
    _lie_within(columns["pin_task"], 0, n_tasks, "task of pin")
    _lie_within(columns["pin_region"], -1, n_regions, "region of pin")
    _lie_within(columns["pin_npages"], 0, _LIMIT >> 30, "pages of pin")
    _need(bool((columns["pin_region"] >= 0)[columns["pin_longterm"] != 0].all()), "a long-term pin belongs to no region")
    slot = columns["pin_slot"]
    _lie_within(slot, -1, INT32_MAX, "slot of pin")
    _ranges_lie_in_files(slot, np.where(slot < 0, 0, columns["pin_npages"]), columns["pin_file"], columns, "pin")
    _lie_within(columns["pin_file"][slot >= 0], 0, len(columns["file_slot"]), "file of pin")


def _check_reuses(columns, n_slots):
    row, slot, npages = columns["reuse_row"], columns["reuse_slot"], columns["reuse_npages"]
    _lie_within(row, 0, len(columns["row_ts"]), "row of reuse")
    _need(bool((np.diff(row) >= 0).all()), "reuses are not in order of rows")
    _lie_within(slot, 0, n_slots, "slot of reuse")
    _lie_within(npages, 1, n_slots + 1, "pages of reuse")
    _lie_within(slot + npages, 1, n_slots + 1, "end of reuse")


cdef Py_ssize_t bad_row(dict columns, Py_ssize_t n_slots):
    """The first row with a number out of place, -1 if all are well: one pass, since traces have many rows."""
    cdef const int64_t[::1] ts = columns["row_ts"], slot = columns["row_slot"], nslots = columns["row_nslots"]
    cdef const int64_t[::1] dur = columns["row_dur"], file_slot = columns["file_slot"], file_nslots = columns["file_nslots"]
    cdef const int8_t[::1] op = columns["row_op"]
    cdef const int32_t[::1] task = columns["row_task"], file = columns["row_file"]
    cdef const int32_t[::1] pin = columns["row_pin"], region = columns["row_region"]
    cdef int64_t n_tasks = len(columns["task_owner"]), n_pins = len(columns["pin_slot"])
    cdef int64_t n_regions = len(columns["region_task"]), n_files = file_slot.shape[0], limit = _LIMIT, now = 0, offset
    cdef Py_ssize_t row
    for row in range(ts.shape[0]):
        if ts[row] < now or limit <= ts[row] or dur[row] < -1 or limit <= dur[row]:
            return row
        if op[row] < 0 or N_OPS <= op[row] or task[row] < 0 or n_tasks <= task[row] or file[row] < -1 or n_files <= file[row]:
            return row
        if pin[row] < -1 or n_pins <= pin[row] or region[row] < -1 or n_regions <= region[row]:
            return row
        if slot[row] < -1 or n_slots < slot[row] or nslots[row] < 0:
            return row
        if nslots[row] > 0:
            if file[row] < 0:
                return row
            offset = slot[row] - file_slot[file[row]]
            if offset < 0 or file_nslots[file[row]] < offset or file_nslots[file[row]] - offset < nslots[row]:
                return row
        now = ts[row]
    return -1


def _explain_bad_rows(columns, n_slots):
    """ValueError naming what is wrong."""
    ts = columns["row_ts"]
    _lie_within(ts, 0, _LIMIT, "time of row")
    _need(bool((np.diff(ts) >= 0).all()), "rows are not in order of time")
    _lie_within(columns["row_op"], 0, N_OPS, "operation of row")
    _lie_within(columns["row_task"], 0, len(columns["task_owner"]), "task of row")
    _lie_within(columns["row_file"], -1, len(columns["file_slot"]), "file of row")
    _lie_within(columns["row_pin"], -1, len(columns["pin_slot"]), "pin of row")
    _lie_within(columns["row_region"], -1, len(columns["region_task"]), "region of row")
    _lie_within(columns["row_dur"], -1, _LIMIT, "duration of row")
    _lie_within(columns["row_nslots"], 0, INT32_MAX, "slots of row")
    _lie_within(columns["row_slot"], -1, max(n_slots, 0) + 1, "slot of row")
    _ranges_lie_in_files(columns["row_slot"], columns["row_nslots"], columns["row_file"], columns, "row")


def _by_region(pin_region, n_regions):
    """Pins in order of region, and where each region's begin."""
    order = np.argsort(pin_region, kind="stable").astype(np.int32)
    order = order[np.count_nonzero(pin_region < 0):]
    first = np.searchsorted(pin_region[order], np.arange(n_regions + 1)).astype(np.int32)
    return order, first


cdef link_tasks(const int32_t[::1] task, const int32_t[::1] owner, int32_t[::1] following, int32_t[::1] first, int32_t[::1] last):
    """Chain each task's rows; find each process' last one."""
    cdef Py_ssize_t row
    for row in range(task.shape[0] - 1, -1, -1):
        following[row] = first[task[row]]
        first[task[row]] = <int32_t>row
        if last[owner[task[row]]] < 0:
            last[owner[task[row]]] = <int32_t>row


cdef class Trace:
    """Columns named as in COLUMNS. ValueError where one is missing, of the wrong type, or points outside of a table."""

    def __init__(self, columns):
        a = _take(columns)
        n = len(a["row_ts"])
        self.n_slots = _check_space(a)
        _check_entities(a)
        if bad_row(a, self.n_slots) >= 0:
            _explain_bad_rows(a, self.n_slots)
            raise ValueError("rows are corrupt")
        _check_reuses(a, self.n_slots)
        a["region_pins"], a["region_first"] = _by_region(a["pin_region"], len(a["region_task"]))
        a["row_next"] = np.empty(n, np.int32)
        a["first_row"] = np.full(len(a["task_owner"]), -1, np.int32)
        a["last_row"] = np.full(len(a["task_owner"]), -1, np.int32)
        link_tasks(a["row_task"], a["task_owner"], a["row_next"], a["first_row"], a["last_row"])
        self.arrays = a
        self.n_tasks = self.n_owners = len(a["task_owner"])
        self.n_files = len(a["file_slot"])
        self.n_pins = len(a["pin_slot"])
        self.n_regions = len(a["region_task"])
        self.n_runs = len(a["run_slot"])
        self.end = a["row_ts"][n - 1] if n else 0
        self.remote = bool(np.isin(a["row_op"], [OP_REMOTE_READ, OP_REMOTE_WRITE]).any())
        self.deletes = bool((a["row_op"] == OP_CACHE_DEL).any())
        self.point()

    cdef point(self):
        a = self.arrays
        self.rows = Rows(
            n=len(a["row_ts"]), ts=longs(a["row_ts"]), op=codes(a["row_op"]), task=ints(a["row_task"]),
            file=ints(a["row_file"]), slot=longs(a["row_slot"]), nslots=longs(a["row_nslots"]),
            index=longs(a["row_index"]), npages=longs(a["row_npages"]),
            dur=longs(a["row_dur"]), bytes=longs(a["row_bytes"]), pin=ints(a["row_pin"]), region=ints(a["row_region"]),
            flags=bytes_of(a["row_flags"]), next=ints(a["row_next"]),
        )
        self.task_owner = ints(a["task_owner"])
        self.task_kworker = bytes_of(a["task_kworker"])
        self.file_slot = longs(a["file_slot"])
        self.file_nslots = longs(a["file_nslots"])
        self.file_dax = bytes_of(a["file_dax"])
        self.pin_slot = longs(a["pin_slot"])
        self.pin_npages = longs(a["pin_npages"])
        self.pin_file = ints(a["pin_file"])
        self.pin_region = ints(a["pin_region"])
        self.pin_task = ints(a["pin_task"])
        self.pin_write = bytes_of(a["pin_write"])
        self.pin_longterm = bytes_of(a["pin_longterm"])
        self.pin_preexisting = bytes_of(a["pin_preexisting"])
        self.region_task = ints(a["region_task"])
        self.region_device = ints(a["region_device"])
        self.region_write = bytes_of(a["region_write"])
        self.region_first = ints(a["region_first"])
        self.region_pins = ints(a["region_pins"])
        self.pin_released = bytes_of(a["pin_released"])
        self.first_row = ints(a["first_row"])
        self.last_row = ints(a["last_row"])
        self.run_slot = longs(a["run_slot"])
        self.run_index = longs(a["run_index"])
        self.n_reuses = len(a["reuse_row"])
        self.reuse_row = ints(a["reuse_row"])
        self.reuse_slot = longs(a["reuse_slot"])
        self.reuse_npages = longs(a["reuse_npages"])
