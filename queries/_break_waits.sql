-- Waits of operations that asked the holders of a lease to let go. Waits for direct IO, which no lease covers, are not among them.
SELECT stalls.run, stalls.tid, stalls.ts, dur, unbounded
FROM stalls
JOIN runs USING (run)
LEFT JOIN files ON files.trace = stalls.trace AND files.file = stalls.file
WHERE role = 'breaker'
  AND (pin IS NOT NULL OR mr IS NOT NULL)
  AND split_part(decisions ->> '$.layout', ' / ', CASE WHEN files.dax THEN 2 ELSE 1 END) = 'break_lease'
