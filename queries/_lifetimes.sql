-- Pins with begin, end and last use. Of real hardware no use is visible; soft-RoCE shows each remote access.
WITH lives AS (
  SELECT
    pins.trace, pin, pins.mr, pins.tid, coalesce(pins.tgid, tasks.tgid) AS tgid, comm, file, index, npages, write, longterm,
    coalesce(ts_pin, ts_first) AS ts,
    coalesce(ts_unpin, ts_last) AS ts_end,
    preexisting,
    ts_unpin IS NULL AS alive
  FROM pins
  JOIN traces USING (trace)
  LEFT JOIN tasks ON tasks.trace = pins.trace AND tasks.tid = pins.tid
),
-- By a window, not by an ASOF join, which takes minutes where the size of the tables is not known beforehand.
marks AS (
  SELECT trace, mr, ts, ts AS ts_used, NULL AS pin FROM events WHERE op IN ('remote_write', 'remote_read') AND mr IS NOT NULL
  UNION ALL
  SELECT trace, mr, ts_end, NULL, pin FROM lives WHERE mr IS NOT NULL
),
used AS (
  SELECT trace, pin, max(ts_used) OVER (PARTITION BY trace, mr ORDER BY ts) AS ts_used FROM marks
)
SELECT
  lives.trace, lives.pin, mr, tid, tgid, comm, file, index, npages, write, longterm,
  ts, ts_end - ts AS dur, preexisting, alive, used.ts_used, ts_end - used.ts_used AS idle
FROM lives
LEFT JOIN used ON used.trace = lives.trace AND used.pin = lives.pin AND used.ts_used >= ts
