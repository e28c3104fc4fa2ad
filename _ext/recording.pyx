"""The recorded trace as the engine sees it: numbers, checked once, shared by every policy.

After the checks no number in them can lead outside of a table: the replay follows them without looking again. The arrays
belong to the Trace from then on and must not be written to.
"""

import numpy as np

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t

from replay._ext.history cimport History
from replay._ext.world cimport RUN_SLOTS
from replay._ext.history import LIMIT, ROW_COLUMNS, check_columns, lie_within, ranges_lie_in_files

TABLE_COLUMNS = {
    "task_owner": "i32", "task_kworker": "u8",
    "file_slot": "i64", "file_nslots": "i64", "file_dax": "u8", "file_memory": "u8",
    "pin_slot": "i64", "pin_npages": "i64", "pin_file": "i32", "pin_region": "i32", "pin_task": "i32", "pin_write": "u8",
    "pin_longterm": "u8", "pin_preexisting": "u8", "pin_released": "u8",
    "region_task": "i32", "region_device": "i32", "region_write": "u8",
    "run_slot": "i64", "run_index": "i64", "run_npages": "i64",
}
REUSE_COLUMNS = {"reuse_row": "i32", "reuse_slot": "i64", "reuse_npages": "i64"}
COLUMNS = {**ROW_COLUMNS, **TABLE_COLUMNS, **REUSE_COLUMNS}


cdef const int64_t* longs(object array):
    cdef const int64_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


cdef const int32_t* ints(object array):
    cdef const int32_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


cdef const uint8_t* bytes_of(object array):
    cdef const uint8_t[::1] view = array
    return &view[0] if view.shape[0] > 0 else NULL


def _need(condition, what):
    if not condition:
        raise ValueError(what)


def _take(columns, kinds):
    """The declared columns as contiguous arrays of the declared types that nobody writes any more."""
    check_columns(columns, kinds)
    taken = {name: np.ascontiguousarray(columns[name]) for name in kinds}
    for group in {name.split("_")[0] for name in kinds}:
        sizes = {len(array) for name, array in taken.items() if name.startswith(group + "_")}
        _need(len(sizes) == 1, f"columns {group}_* differ in length")
        _need(max(sizes) < INT32_MAX, f"columns {group}_*: more than {INT32_MAX - 1} entries")
    return taken


def _check_space(columns):
    """Runs tile the slots from 0 on; files lie within. Returns the number of slots."""
    slot, npages = columns["run_slot"], columns["run_npages"]
    lie_within(npages, 1, LIMIT >> 30, "length of run")
    ends = np.cumsum(npages)
    total = int(npages.sum())
    _need(total < INT32_MAX, f"{total} page slots are more than {INT32_MAX - 1}")
    _need(bool((slot == ends - npages).all()), "runs of slots do not follow each other")
    lie_within(columns["file_slot"], -1, total + 1, "first slot of file")
    lie_within(columns["file_nslots"], 0, total + 1, "slots of file")
    used = columns["file_nslots"] > 0
    _need(bool((columns["file_slot"][used] >= 0).all()), "a file's slots begin below 0")
    _need(bool((columns["file_slot"] + columns["file_nslots"] <= total)[used].all()), "a file's slots end behind the last slot")
    return total


def _check_entities(columns):
    n_tasks, n_regions = len(columns["task_owner"]), len(columns["region_task"])
    lie_within(columns["task_owner"], 0, n_tasks, "owner of task")
    lie_within(columns["region_task"], 0, n_tasks, "task of region")
    lie_within(columns["pin_task"], 0, n_tasks, "task of pin")
    lie_within(columns["pin_region"], -1, n_regions, "region of pin")
    lie_within(columns["pin_npages"], 0, LIMIT >> 30, "pages of pin")
    _need(bool((columns["pin_region"] >= 0)[columns["pin_longterm"] != 0].all()), "a long-term pin belongs to no region")
    slot = columns["pin_slot"]
    lie_within(slot, -1, INT32_MAX, "slot of pin")
    ranges_lie_in_files(slot, np.where(slot < 0, 0, columns["pin_npages"]), columns["pin_file"], columns, "pin")
    lie_within(columns["pin_file"][slot >= 0], 0, len(columns["file_slot"]), "file of pin")


def _check_reuses(columns, n_rows, n_slots):
    row, slot, npages = columns["reuse_row"], columns["reuse_slot"], columns["reuse_npages"]
    lie_within(row, 0, n_rows, "row of reuse")
    _need(bool((np.diff(row) >= 0).all()), "reuses are not in order of rows")
    lie_within(slot, 0, n_slots, "slot of reuse")
    lie_within(npages, 1, n_slots + 1, "pages of reuse")
    lie_within(slot + npages, 1, n_slots + 1, "end of reuse")


def _by_region(pin_region, n_regions):
    """Pins in order of region, and where each region's begin."""
    order = np.argsort(pin_region, kind="stable").astype(np.int32)
    order = order[np.count_nonzero(pin_region < 0):]
    first = np.searchsorted(pin_region[order], np.arange(n_regions + 1)).astype(np.int32)
    return order, first


def _runs_at(run_slot, n_slots):
    """The runs that hold every RUN_SLOTS-th slot."""
    return (np.searchsorted(run_slot, np.arange(0, n_slots, RUN_SLOTS), side="right") - 1).astype(np.int32)


cdef class Trace:
    """Columns named as in COLUMNS. ValueError where one is missing, of the wrong type, or points outside of a table.

    Rows come in the same columns, or `room` of them at most in `batches` of columns: those need not be in memory at once. Then
    `reuses` gives the columns reuse_* once all have come; reuse_row counts all rows, those that are not kept too.
    """

    def __init__(self, columns, batches=None, room=None, reuses=None):
        a = _take(columns, TABLE_COLUMNS)
        self.n_slots = _check_space(a)
        _check_entities(a)
        if batches is None:
            check_columns(columns, ROW_COLUMNS)
            batches, room = [{name: columns[name] for name in ROW_COLUMNS}], len(columns["row_ts"])
        self.history = History(a, self.n_slots, room)
        for batch in batches:
            self.history.add(batch)
        a.update(_take(reuses() if reuses is not None else columns, REUSE_COLUMNS))
        _check_reuses(a, self.history.seen, self.n_slots)
        a["reuse_row"] = self.history.find_allocations(a["reuse_row"])
        found = a["reuse_row"] >= 0
        a.update({name: a[name][found] for name in REUSE_COLUMNS})
        a["run_at"] = _runs_at(a["run_slot"], self.n_slots)
        a["region_pins"], a["region_first"] = _by_region(a["pin_region"], len(a["region_task"]))
        self.arrays = a
        self.n_tasks = self.n_owners = len(a["task_owner"])
        self.n_files = len(a["file_slot"])
        self.n_pins = len(a["pin_slot"])
        self.n_regions = len(a["region_task"])
        self.n_runs = len(a["run_slot"])
        self.point()

    cdef point(self):
        a = self.arrays
        self.rows = self.history.rows()
        self.task_owner = ints(a["task_owner"])
        self.task_kworker = bytes_of(a["task_kworker"])
        self.file_slot = longs(a["file_slot"])
        self.file_nslots = longs(a["file_nslots"])
        self.file_dax = bytes_of(a["file_dax"])
        self.file_memory = bytes_of(a["file_memory"])
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
        self.first_row = ints(self.history.first_row)
        self.last_row = ints(self.history.last_of_owner)
        self.run_slot = longs(a["run_slot"])
        self.run_index = longs(a["run_index"])
        self.run_at = ints(a["run_at"])
        self.n_reuses = len(a["reuse_row"])
        self.reuse_row = ints(a["reuse_row"])
        self.reuse_slot = longs(a["reuse_slot"])
        self.reuse_npages = longs(a["reuse_npages"])
