-- When a policy pays: each cost in each interval of a trace.
--
-- Question: Does the price come all at once or all the time, and how much is it at its worst?
-- Source: Dan Williams, 11 Feb 2019: "The blocks you thought you freed, especially if the system was under -ENOSPC pressure,
--   won't actually be free".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter intervals BIGINT = 60: take neighbouring intervals of table series together until there are at most so many.
-- Tables: _runs _series _traces
--
-- Column source "trace": The trace's source file.
-- Column trace "id": The trace's id.
-- Column metric: The cost's name, as in table costs.
-- Column unit: Its unit; that of page and block seconds is pages and blocks.
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column ts [ts; spare] "from/s": Begin of the interval, on the trace's clock.
-- Column after_ns [ns] "after": Begin of the interval, from the trace's first event on.
-- Column width_ns [ns; spare] "length": Length of the interval.
-- Column value [amount]: The amount that fell into it, if any did; of pages and blocks how many there were, on average.
WITH numbered AS (
  SELECT
    run, metric, unit, averaged, ts, dur, value,
    dense_rank() OVER (PARTITION BY run ORDER BY ts) - 1 AS bin
  FROM _series
  JOIN _runs USING (run)
),
joined AS (
  SELECT run, ceil((max(bin) + 1) / coalesce(getvariable('intervals')::BIGINT, 60))::BIGINT AS size
  FROM numbered
  GROUP BY run
)
SELECT
  source,
  trace,
  metric,
  unit,
  policy,
  settings,
  min(ts) AS ts,
  min(ts) - ts_first AS after_ns,
  sum(dur)::BIGINT AS width_ns,
  sum(value ORDER BY bin) / CASE WHEN averaged THEN count(*) ELSE 1 END AS value -- in one order: sums of fractions depend on it
FROM numbered
JOIN joined USING (run)
JOIN _runs USING (run)
JOIN _traces USING (trace)
GROUP BY run, source, trace, ts_first, metric, unit, averaged, policy, settings, position, bin // size
HAVING sum(value) > 0
ORDER BY source, trace, metric, position, policy, settings, run, ts;
