"""Loss is data: every counter of what was lost, skipped or left unresolved, declared once.

A reader or a lowering pass counts with `Losses.add`; a name that is not declared here is a bug and raises KeyError.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counter:
    """One declared counter. severity: info (nothing is missing), warning (some results are weaker), data_loss (events are gone)."""

    name: str
    severity: str
    source: str
    meaning: str
    advice: str


COUNTERS = (
    Counter(
        "kernel_lost_events",
        "data_loss",
        "ring buffer page header: missed events",
        "Events that the kernel's ring buffer overwrote or dropped before they were read, as far as it kept count.",
        "Record with larger buffers (trace-cmd record -b, perf record -m) or fewer events.",
    ),
    Counter(
        "kernel_lost_unknown",
        "data_loss",
        "ring buffer page header: missed events without a number",
        "Gaps for which the kernel did not say how many events were lost.",
        "Record with larger buffers (trace-cmd record -b, perf record -m) or fewer events.",
    ),
    Counter(
        "kernel_overruns",
        "data_loss",
        "per-CPU statistics of the kernel's ring buffer (trace-cmd's CPUSTAT)",
        "All events that the ring buffer overwrote or dropped, by the kernel's statistics at the end of the recording; "
        "they include those of kernel_lost_events and of gaps without a number.",
        "Record with larger buffers (trace-cmd record -b, perf record -m) or fewer events.",
    ),
    Counter(
        "kernel_lost_samples",
        "data_loss",
        "perf.data: LOST_SAMPLES records",
        "Samples that were dropped before they reached perf's buffers, as far as they were counted; a filter of perf's counts too.",
        "Record with larger buffers (perf record -m) or fewer events.",
    ),
    Counter(
        "truncated_bytes",
        "data_loss",
        "trace file shorter than its header says",
        "Bytes of trace data that the file announces but does not hold.",
        "The recording was cut short: copy the file again, or record again.",
    ),
    Counter(
        "undecodable_bytes",
        "data_loss",
        "record, ring buffer page or compressed block that cannot be right",
        "Bytes of trace data skipped because a record in them could not be decoded.",
        "The file is damaged: copy it again, or record again.",
    ),
    Counter(
        "unknown_event_records",
        "warning",
        "record whose event id has no format in the file",
        "Records whose type the file does not describe.",
        "Usually harmless: an event of a module that was loaded after the recording began.",
    ),
    Counter(
        "skipped_records",
        "info",
        "perf.data: types of records",
        "Records of types that are not read: unknown ones, and hardware traces.",
        "Harmless for tracepoints: they tell of other things.",
    ),
    Counter(
        "samples_without_time",
        "warning",
        "perf.data: samples without PERF_SAMPLE_TIME",
        "Samples that carry no time: they stand before all others, in the order of the file.",
        "Record with timestamps (perf record -T).",
    ),
    Counter(
        "undecodable_fields",
        "warning",
        "dynamic field that points outside of its record",
        "Field values that point outside of their record; stored as NULL.",
        "The file is damaged, or a probe fetched bad memory.",
    ),
    Counter(
        "unparsed_lines",
        "warning",
        "line of a text that is no event",
        "Lines of a text that are neither events nor parts of one nor notes of the tool that printed it.",
        "Expected where text was added to the trace by hand; otherwise keep the binary recording and ingest that.",
    ),
    Counter(
        "unparsed_payloads",
        "warning",
        "event line of a text in a form that is not declared",
        "Events of a known kind whose text does not have a known form; kept as text in a raw table of system text, and not replayed.",
        "Keep the binary recording and ingest that: it describes its own fields.",
    ),
    Counter(
        "timestamps_microseconds",
        "info",
        "timestamps of a text with fewer than nine decimals",
        "Events whose time is told in microseconds only; events of one microsecond keep the order of their lines.",
        "Print nanoseconds: trace-cmd report -t, perf script --ns.",
    ),
    Counter(
        "timestamps_backwards",
        "warning",
        "timestamp of a text line before that of an earlier line",
        "Lines that tell an earlier time than a line before them: durations across them mean nothing.",
        "Ingest one trace at a time, and print it sorted by time.",
    ),
    Counter(
        "pins_unresolved",
        "warning",
        "address resolution",
        "Pin calls whose address lies in no known mapping: their pages take part in no conflict.",
        "Record the mmap_region probe (or syscalls mmap and munmap) from before the workload starts.",
    ),
    Counter(
        "events_without_file",
        "warning",
        "identity",
        "Page events whose file could not be determined; they take part in no conflict.",
        "Record filemap or ext4 events, which carry device and inode, beside the probes.",
    ),
    Counter(
        "mr_release_without_reg",
        "info",
        "pairing",
        "Memory regions released in the trace that were registered before it began; their pages are not known.",
        "Start recording before the workload registers its memory.",
    ),
    Counter(
        "mrs_before_recording",
        "warning",
        "inventory of memory regions beside the trace (FILE.state)",
        "Memory regions of processes that were registered before the recording began; which pages they pin is not known.",
        "Start recording before the workload registers its memory.",
    ),
    Counter(
        "state_incomplete",
        "warning",
        "state of the system beside the trace (FILE.state)",
        "Lines of the state file that were cut off, and processes that it leaves out for their size: their mappings are not known.",
        "Copy the file again; or record one process alone (replay record -p PID).",
    ),
    Counter(
        "ends_without_begin",
        "info",
        "pairing",
        "Ends of operations whose beginning the trace does not hold.",
        "Expected for operations under way when recording began.",
    ),
    Counter(
        "begins_without_end",
        "info",
        "pairing",
        "Operations that were still under way when the trace ended, or whose end was lost.",
        "Expected for operations under way when recording stopped.",
    ),
    Counter(
        "truncates_without_range",
        "warning",
        "lowering",
        "Truncates whose new size the trace does not tell.",
        "Record filemap events or the truncate system calls.",
    ),
    Counter(
        "unpins_unmatched",
        "warning",
        "pairing",
        "Unpin calls outside of a memory region's release that no live pin explains.",
        "Record the pin probes, and mmap_region, from before the workload starts.",
    ),
    Counter(
        "short_pins_unreleased",
        "warning",
        "pins without FOLL_LONGTERM, of Linux 6.3 and later, with no unpin in the trace",
        "Pages of files that were pinned for a short time, mostly by direct IO, and whose release the trace does not tell: they count as "
        "pinned for no time, so conflicts with them are missing.",
        "Record the probes of unpin_user_page and, from Linux 6.12 on, unpin_user_folio (replay record does).",
    ),
    Counter(
        "waits_without_pin",
        "warning",
        "layout_wait of the recorded kernel on a file that no pin of the trace holds at that time",
        "Waits of the recorded kernel for a page whose pin the trace does not hold: the policies that do not wait show nothing for it.",
        "Record what takes pages without a pin probe too: direct IO holds them by plain references (get_user_pages_fast).",
    ),
    Counter(
        "remote_accesses_unresolved",
        "warning",
        "identity",
        "Remote accesses whose address lies in no live memory region.",
        "Record ib_umem_get and ib_umem_get_ret from before the workload registers its memory.",
    ),
)

# A file can name any number of lost events; the tables hold 64 bits.
_MOST = (1 << 63) - 1

BY_NAME = {counter.name: counter for counter in COUNTERS}


@dataclass(slots=True)
class Losses:
    """Counts per (counter, cpu). cpu is None where the loss belongs to no CPU; total is the size of what was looked at."""

    counts: dict[tuple[str, int | None], int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, count: int = 1, *, cpu: int | None = None) -> None:
        """Add to a declared counter; a count of zero is recorded too, so that "none" can be told from "not looked"."""
        key = (BY_NAME[name].name, cpu)
        self.counts[key] = self.counts.get(key, 0) + count

    def of(self, name: str, total: int) -> None:
        """Say of how many the counter `name` counts."""
        self.totals[BY_NAME[name].name] = self.totals.get(name, 0) + total

    def count(self, name: str) -> int:
        return sum(count for (counter, _), count in self.counts.items() if counter == name)

    def rows(self) -> list[dict[str, object]]:
        """Rows of table `losses` without the trace, ordered by name and CPU."""
        ordered = sorted(self.counts.items(), key=lambda item: (item[0][0], -1 if item[0][1] is None else item[0][1]))
        return [
            {
                "counter": name,
                "cpu": cpu,
                "severity": BY_NAME[name].severity,
                "count": min(count, _MOST),
                "total": None if name not in self.totals else min(self.totals[name], _MOST),
                "meaning": BY_NAME[name].meaning,
                "advice": BY_NAME[name].advice,
            }
            for (name, cpu), count in ordered
        ]
