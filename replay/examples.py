"""What to type: examples for each command, shown by --help and in docs/commands. A test runs them, in this order."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "replay": (
        ("From a trace to a comparison of the policies", "replay ingest trace.dat && replay run && replay report"),
        ("What a command does, and more examples", "replay run --help"),
    ),
    "ingest": (
        ("Read a trace into ./replay-store, which is made if it is not there", "replay ingest trace.dat"),
        ("Read what directories hold, into a store of your choice", "replay --store all ingest recordings/"),
    ),
    "run": (
        ("Every built-in policy, on every trace of the store", "replay run"),
        ("A slow program under leases", "replay run --policy lease --param lease.app=50ms --param lease.on_timeout=kill"),
        ("Two policies composed, and one of your own", "replay run --policy lease+bounce --policy patient --policy-file mine.toml"),
    ),
    "sweep": (
        (
            "How fast must a program answer a lease break",
            "replay sweep --policy lease --param lease.app=1ms..600s:20 --param lease.break_time=5s,45s",
        ),
        ("The grid as CSV", "replay sweep --policy hold-off --param writeback.expire=5s,30s --format csv"),
    ),
    "report": (
        ("Compare the policies", "replay report"),
        ("Which questions can be asked", "replay report --list"),
        ("The comparison on one page, with charts", "replay report --html out.html"),
        ("Who waited for whom, as CSV", "replay report stalls --policy hold-off --format csv -o stalls.csv"),
    ),
    "sql": (
        ("What views there are, and what the columns of one mean", "replay sql 'show tables'"),
        ("Any SELECT", "replay sql 'select class, sum(npages) as pages from conflicts group by class'"),
        ("A query from a file", "replay sql - --format json < query.sql"),
        ("The same views in the duckdb shell", "replay sql --views > views.sql"),
    ),
    "export": (
        ("A timeline of one trace", "replay export --perfetto out.pftrace --trace trace.dat"),
        ("Tables of one policy for other programs", "replay export --parquet tables --policy lease"),
    ),
    "policies": (
        ("What each policy decides, those of a file included", "replay policies --policy-file mine.toml"),
        ("What --param takes", "replay policies --params"),
    ),
    "validate": (
        ("Is the replay right about this trace", "replay validate --trace trace.dat"),
        ("Where it differs from the recorded kernel", "replay validate --misses"),
    ),
    "record": (
        ("Record a workload as root, from its start to its end", "replay record -o trace.dat -- ./workload"),
        ("Record the whole system for a minute", "replay record -a -d 60"),
        ("The commands that would do it, to be read or run elsewhere", "replay record --dry-run -- ./workload"),
    ),
}


def epilog(command: str) -> str:
    """The examples of a command as they stand below its help."""
    lines = "".join(f"  # {what}\n  {line}\n" for what, line in EXAMPLES[command])
    return f"\b\nExamples:\n{lines}"
