-- How long the waits for pins are: how many last at least so long.
--
-- Question: Is it one long wait or thousands of short ones that a policy costs?
-- Source: Jan Kara, January 2018: "blocking e.g. writeback for hours ... simply is not acceptable".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Tables: stalls _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column from_ns [ns] "waits/from": The shortest wait of this interval; ten intervals are a factor of ten.
-- Column to_ns [ns] "to below": The next interval begins here.
-- Column stalls [count]: Waits within it.
-- Column unbounded [count] "still/open": Of them those that had not ended at the end of the trace: they last longer than this.
-- Column at_least [count] "this long/or longer": Waits within this interval and all longer ones.
WITH binned AS ( -- before any join: there may be millions
  SELECT
    run,
    floor(10 * log10(greatest(dur, 1)))::BIGINT AS bin,
    count(*) AS stalls,
    count(*) FILTER (unbounded) AS unbounded
  FROM stalls
  GROUP BY ALL
)
SELECT
  policy,
  settings,
  ceil(pow(10, bin / 10))::BIGINT AS from_ns,
  ceil(pow(10, (bin + 1) / 10))::BIGINT AS to_ns,
  sum(stalls)::BIGINT AS stalls,
  sum(unbounded)::BIGINT AS unbounded,
  (sum(sum(stalls)) OVER (PARTITION BY policy, settings ORDER BY bin DESC))::BIGINT AS at_least
FROM binned
JOIN _runs USING (run)
GROUP BY policy, settings, position, bin
ORDER BY position, policy, settings, bin;
