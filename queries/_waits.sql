-- What the tasks of each run waited for pins: how often, the longest, all together, and how many had not ended.
SELECT
  run,
  count(*) AS stalls,
  max(dur) AS longest_ns,
  -- Of two equally long stalls the open one is the longer.
  max(dur) FILTER (unbounded) IS NOT DISTINCT FROM max(dur) AS longest_open,
  sum(dur) AS total_ns,
  count(*) FILTER (unbounded) AS unbounded
FROM stalls
GROUP BY run
