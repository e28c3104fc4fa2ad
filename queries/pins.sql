-- What is pinned: by whom, in which file, how much, and for how long.
--
-- Question: Is there a real application that pins file memory for long? Which files, on which file systems, with or without
--   DAX, and by whom?
-- Source: Doug Ledford, 6 Feb 2019: "Can someone give me a real world scenario that someone is *actually* asking for".
-- Parameter trace VARCHAR = NULL: only this trace.
-- Parameter limit BIGINT = 50: at most so many rows of each trace.
-- Needs pin from gup:pin_user_pages_fast, gup:pin_user_pages: without pins there is nothing to hold anybody up.
-- Tables: pins files _traces _tasks
--
-- Column source "trace": The trace's source file.
-- Column owner: Who pinned, as name/thread id.
-- Column file: The file; empty for anonymous memory and for what could not be resolved.
-- Column dax [flag] "DAX": The trace shows the file mapped directly.
-- Column id_source [; spare] "found/through": How the pages were found; unresolved where they were not.
-- Column longterm [flag; spare] "long-/term": FOLL_LONGTERM.
-- Column write [flag] "device/writes": The device may write.
-- Column pins [count]: Pinned ranges.
-- Column pages [count]: Their pages; a page that is pinned twice counts twice.
-- Column longest_ns [ns; open longest_open] "held/longest": The longest life of a pin within the trace.
-- Column longest_open: That pin was still held at the end of the trace.
-- Column alive [count] "held/at end": Pins still held at the end of the trace.
WITH per_owner AS (
  SELECT
    _traces.trace,
    source,
    coalesce(name, '?/' || pins.tid) AS owner,
    file,
    id_source,
    longterm,
    write,
    count(*) AS pins,
    sum(npages)::BIGINT AS pages,
    max(coalesce(ts_unpin, ts_last) - coalesce(ts_pin, ts_first)) AS longest_ns,
    arg_max(ts_unpin IS NULL, coalesce(ts_unpin, ts_last) - coalesce(ts_pin, ts_first)) AS longest_open,
    count(*) FILTER (ts_unpin IS NULL) AS alive
  FROM pins
  JOIN _traces USING (trace)
  LEFT JOIN _tasks ON _tasks.trace = pins.trace AND _tasks.tid = pins.tid
  GROUP BY ALL
)
SELECT source, owner, file, dax, id_source, longterm, write, pins, pages, longest_ns, longest_open, alive
FROM per_owner
LEFT JOIN files USING (trace, file)
QUALIFY row_number() OVER (PARTITION BY trace ORDER BY pages DESC, owner, file, id_source, longterm, write)
  <= coalesce(getvariable('limit')::BIGINT, 50)
ORDER BY source, trace, pages DESC, owner, file, id_source, longterm, write;
