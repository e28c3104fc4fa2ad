-- Lease breaks of each run: operations that asked a holder to let go, and those of them that the holder did not answer in time.
SELECT
  run,
  count(DISTINCT (victim_tid, ts)) FILTER (class = 'lease_break') AS breaks,
  count(DISTINCT (victim_tid, ts)) FILTER (class = 'lease_break_timeout') AS timeouts
FROM conflicts
WHERE class IN ('lease_break', 'lease_break_timeout')
GROUP BY run
