-- Lease breaks of each run: operations that asked a holder to let go, and those of them that the holder did not answer in time.
-- A lease is broken for the whole file: where no page of the operation's own range is pinned, only its wait shows the break.
WITH met AS (
  SELECT
    run, victim_tid AS tid, ts, bool_or(class = 'lease_break') AS began, bool_or(class = 'lease_break_timeout') AS timed_out
  FROM conflicts
  WHERE class IN ('lease_break', 'lease_break_timeout')
  GROUP BY ALL
),
limits AS (
  SELECT run, sum(ns) AS limit_ns FROM _durations WHERE parameter IN ('lease.break_time', 'lease.timer_rounding') GROUP BY run
),
unmet AS (
  SELECT run, tid, ts, true AS began, coalesce(dur >= limit_ns, false) AS timed_out
  FROM _break_waits
  LEFT JOIN limits USING (run)
  ANTI JOIN (FROM met WHERE began) AS broken USING (run, tid, ts)
)
SELECT run, count(*) FILTER (began) AS breaks, count(*) FILTER (timed_out) AS timeouts
FROM (FROM met UNION ALL FROM unmet)
GROUP BY run
