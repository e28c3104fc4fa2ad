-- Pages that pins hold, as recorded: a row for each time at which their number changes.
WITH steps AS (
  SELECT trace, coalesce(ts_pin, ts_first) AS ts, npages FROM pins JOIN traces USING (trace)
  UNION ALL
  SELECT trace, ts_unpin, -npages FROM pins WHERE ts_unpin IS NOT NULL
)
SELECT trace, ts, CAST(sum(sum(npages)) OVER (PARTITION BY trace ORDER BY ts) AS BIGINT) AS pages
FROM steps
GROUP BY trace, ts
