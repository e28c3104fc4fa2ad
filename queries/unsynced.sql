-- How long data on pinned pages stays unwritten, and how long fsync waits for it.
--
-- Question: For how long is data on pinned pages not on disk, and is writeback blocked for hours?
-- Source: Jan Kara, January 2018: "blocking e.g. writeback for hours because some RDMA app used a file mapping as a buffer
--   simply is not acceptable".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs fsync from ext4:ext4_sync_file_enter, xfs:xfs_file_fsync: what user space asks to be on disk.
-- Needs pin from gup:pin_user_pages_fast, gup:pin_user_pages: without pins nothing is held back.
-- Tables: _events pins stalls conflicts refusals runs files _runs _traces
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column source "trace": The trace's source file.
-- Column file: A file with pages that a device may write.
-- Column unsynced_ns [ns; open unsynced_open] "unsynced/for up to": The longest that data of such a page waits for an fsync that
--   writes it: from pin to fsync, fsync to fsync, or fsync to unpin; with held writeback, from pin to unpin.
-- Column unsynced_open: It lasted to the end of the trace.
-- Column fsyncs [count]: Calls of fsync on the file while it was pinned.
-- Column missed [pages] "missed/pages": Clean pages that these passed over though the device may have written them.
-- Column stalls [count; spare] "fsync/stalls": How many of them wait for a pin.
-- Column longest_ns [ns; open longest_open] "longest": The longest of them.
-- Column longest_open: The longest had not ended at the end of the trace.
WITH held AS (
  SELECT trace, file, coalesce(ts_pin, ts_first) AS begin_ts, coalesce(ts_unpin, ts_last) AS end_ts, ts_unpin IS NULL AS open
  FROM pins
  JOIN _traces USING (trace)
  JOIN files USING (trace, file)
  WHERE write AND NOT files.dax
),
before AS (
  SELECT *, max(end_ts) OVER (
    PARTITION BY trace, file ORDER BY begin_ts, end_ts ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ) AS last_end
  FROM held
),
numbered AS (
  SELECT *, count(*) FILTER (last_end IS NULL OR last_end < begin_ts) OVER (PARTITION BY trace, file ORDER BY begin_ts, end_ts) AS span
  FROM before
),
-- Time in which the file has a page that a device may write: pins that overlap are one span.
spans AS (
  SELECT trace, file, span, min(begin_ts) AS begin_ts, max(end_ts) AS end_ts, arg_max(open, (end_ts, open)) AS open, count(*) AS pins
  FROM numbered
  GROUP BY trace, file, span
),
marks AS (
  SELECT trace, file, span, begin_ts AS ts, false AS open, false AS is_sync FROM spans
  UNION ALL
  SELECT spans.trace, spans.file, span, ts, false, true
  FROM spans
  JOIN _events AS events ON events.trace = spans.trace AND events.file = spans.file AND ts > begin_ts AND ts < end_ts
  WHERE op = 'fsync'
  UNION ALL
  SELECT trace, file, span, end_ts, open, false FROM spans
),
gaps AS (
  SELECT *, ts - lag(ts) OVER (PARTITION BY trace, file, span ORDER BY ts) AS gap FROM marks
),
synced AS (
  SELECT trace, file, max(gap) AS gap, arg_max(open, (gap, open)) AS gap_open, count(*) FILTER (is_sync) AS fsyncs
  FROM gaps
  GROUP BY trace, file
),
whole AS (
  SELECT trace, file, sum(pins) AS pins, max(end_ts - begin_ts) AS life, arg_max(open, (end_ts - begin_ts, open)) AS life_open
  FROM spans
  GROUP BY trace, file
),
waits AS (
  SELECT
    run, file, count(*) AS stalls, max(dur) AS longest_ns,
    max(dur) FILTER (unbounded) IS NOT DISTINCT FROM max(dur) AS longest_open
  FROM stalls
  WHERE op = 'fsync'
  GROUP BY run, file
),
missed AS (
  SELECT run, file, sum(npages) AS missed FROM conflicts WHERE class = 'fsync_misses_pinned' GROUP BY run, file
),
refused AS (
  SELECT run, file, count(DISTINCT pin) AS refused FROM refusals GROUP BY run, file
)
SELECT
  _runs.policy,
  settings,
  source,
  synced.file,
  CASE (decisions ->> '$.writeback') WHEN 'hold' THEN life ELSE gap END AS unsynced_ns,
  CASE (decisions ->> '$.writeback') WHEN 'hold' THEN life_open ELSE gap_open END AS unsynced_open,
  fsyncs,
  coalesce(missed, 0)::BIGINT AS missed,
  coalesce(stalls, 0) AS stalls,
  coalesce(longest_ns, 0) AS longest_ns,
  coalesce(longest_open, false) AS longest_open
FROM _runs
JOIN runs USING (run)
JOIN _traces ON _traces.trace = _runs.trace
JOIN synced ON synced.trace = _runs.trace
JOIN whole ON whole.trace = _runs.trace AND whole.file = synced.file
LEFT JOIN waits ON waits.run = _runs.run AND waits.file = synced.file
LEFT JOIN missed ON missed.run = _runs.run AND missed.file = synced.file
LEFT JOIN refused ON refused.run = _runs.run AND refused.file = synced.file
WHERE coalesce(refused, 0) < pins AND (decisions ->> '$.admit') NOT LIKE '%no_pin%' -- else the policy leaves no pin
ORDER BY source, _runs.trace, synced.file, position, _runs.policy, settings;
