-- What is pinned: by whom, in which file, how much, and for how long.
--
-- Question: Which files are pinned long, by which application, for how long? Doug Ledford, 6 Feb 2019, asked for a real
--   world scenario; Ira Weiny's notes speak of pins used "minutes or hours after the pin".
-- Source: questions 11, 17 and 21.
-- Parameter trace VARCHAR = NULL: only this trace.
-- Parameter limit BIGINT = 50: at most so many rows of each trace.
--
-- Column trace: The trace's id.
-- Column owner: Who pinned, as name/thread id.
-- Column file: The file; empty for anonymous memory and for what could not be resolved.
-- Column id_source "found/through": How the pages were found; unresolved where they were not.
-- Column longterm [flag] "long-/term": FOLL_LONGTERM.
-- Column write [flag] "device/writes": The device may write.
-- Column pins [count]: Pinned ranges.
-- Column pages [count]: Their pages; a page that is pinned twice counts twice.
-- Column longest_ns [ns; open longest_open] "held/longest": The longest life of a pin within the trace.
-- Column longest_open: That pin was still held at the end of the trace.
-- Column alive [count] "held/at end": Pins still held at the end of the trace.
SELECT
  pins.trace,
  coalesce(comm, '?') || '/' || pins.tid AS owner,
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
JOIN traces USING (trace)
LEFT JOIN tasks ON tasks.trace = pins.trace AND tasks.tid = pins.tid
WHERE $trace::VARCHAR IS NULL OR pins.trace = $trace
GROUP BY pins.trace, comm, pins.tid, file, id_source, longterm, write
QUALIFY row_number() OVER (PARTITION BY pins.trace ORDER BY pages DESC, owner, file, id_source, longterm, write) <= $limit
ORDER BY pins.trace, pages DESC, owner, file, id_source, longterm, write
