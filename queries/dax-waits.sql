-- Waits for pinned pages of DAX files: how long, how many never end, by who holds the pin.
--
-- Question: Can an operation on a DAX file block forever when user space pins the file for RDMA?
-- Source: Dave Chinner, 6 Feb 2019: "dax_layout_busy_page can block forever when userspace pins the file for RDMA".
-- Parameter trace VARCHAR = NULL: only this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy, and what the kernel did.
-- Needs layout_wait from gup:dax_layout_busy_page_range, gup:dax_layout_busy_page_range_ret: what the recorded kernel waited for.
-- Tables: _events stalls files pins mrs _runs _tasks _traces
--
-- Column policy: The policy, as named; (recorded) for the kernel that was traced.
-- Column settings: Parameters that differ from the defaults.
-- Column source "trace": The trace's source file.
-- Column file: The DAX file.
-- Column holder "for a pin of": Who owned the pin, as name/thread id; empty where the trace does not show the pin.
-- Column waits [count]: How many times an operation waited.
-- Column median_ns [ns] "median": Half of them lasted no longer.
-- Column p99_ns [ns] "99th/percentile": 99 in 100 lasted no longer.
-- Column longest_ns [ns; open longest_open] "longest": The longest.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column open_waits [count] "still/open": How many had not ended at the end of the trace.
WITH waits AS (
  SELECT
    '(recorded)' AS policy, '' AS settings, -1 AS position, _traces.trace, source, file,
    NULL::INTEGER AS holder_tid, coalesce(dur, ts_last - ts) AS dur, open
  FROM _events AS events
  JOIN _traces USING (trace)
  WHERE op = 'layout_wait' AND (open OR dur > 0)
  UNION ALL
  SELECT _runs.policy, settings, position, _traces.trace, source, stalls.file, coalesce(pins.tid, mrs.tid), dur, unbounded
  FROM stalls
  JOIN _runs USING (run)
  JOIN _traces ON _traces.trace = stalls.trace
  JOIN files ON files.trace = stalls.trace AND files.file = stalls.file AND dax
  LEFT JOIN pins ON pins.trace = stalls.trace AND pins.pin = stalls.pin
  LEFT JOIN mrs ON mrs.trace = stalls.trace AND mrs.mr = stalls.mr
)
SELECT
  policy,
  settings,
  source,
  file,
  coalesce(name, '?/' || holder_tid) AS holder,
  count(*) AS waits,
  quantile_disc(dur, 0.5) AS median_ns,
  quantile_disc(dur, 0.99) AS p99_ns,
  max(dur) AS longest_ns,
  max(dur) FILTER (open) IS NOT DISTINCT FROM max(dur) AS longest_open,
  count(*) FILTER (open) AS open_waits
FROM waits
LEFT JOIN _tasks ON _tasks.trace = waits.trace AND tid = holder_tid
GROUP BY policy, settings, position, waits.trace, source, file, holder
ORDER BY position, policy, settings, source, waits.trace, file, holder;
