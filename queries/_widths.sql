-- The round length (1, 2 or 5 times a power of ten ns) of the intervals into which pictures cut a trace's time, of which there
-- are then at most as many as variable intervals says (60), from the first event to the last one or to the last conflict or
-- stall of a run, which a policy may have moved behind it.
WITH ends AS (
  SELECT trace, max(ts) AS ts FROM conflicts GROUP BY trace
  UNION ALL
  SELECT trace, max(ts) AS ts FROM stalls GROUP BY trace
),
spans AS (
  SELECT trace, source, ts_first, greatest(ts_last, max(ends.ts)) - ts_first AS span
  FROM _traces
  LEFT JOIN ends USING (trace)
  GROUP BY trace, source, ts_first, ts_last
)
SELECT trace, source, ts_first, min(factor * pow(10, power))::BIGINT AS width
FROM spans, (VALUES (1), (2), (5)) AS factors(factor), range(19) AS powers(power)
WHERE factor * pow(10, power) * coalesce(getvariable('intervals')::BIGINT, 60) > span
GROUP BY trace, source, ts_first
