"""Coverage-guided fuzzing of the decoders: `make fuzz`.

Each decoder has a module here, its target, with

    MODULES     what is instrumented and must be imported for it
    TOKENS      words of the format, for the mutator
    seeds()     small files by name, as (name, bytes)
    decode(path)   read the whole file, as an ingest does; not `whole`: leave out what comes behind the raw tables, if it can be left out

run.py runs one of them, or all; worker.py is the process that fuzzes.
"""

TARGETS = ("tracedat", "perf", "text", "jsonl", "state")
