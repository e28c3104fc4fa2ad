-- Replays in the store, one line each.
--
-- Question: What has been replayed, with which parameters, and what came of it in a word?
-- Source: anyone who has just replayed.
-- Parameter runs VARCHAR = NULL: only these runs, as ids with spaces between.
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Tables: conflicts traces _runs _waits
-- Settings: all
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column source "trace": The trace's source file.
-- Column at_risk_bytes [bytes] "data/at risk": Bytes of the conflicts of risk corruption.
-- Column lost_pages [count] "pages of/service lost": Pages of the conflicts of risk availability.
-- Column stalls [count]: How many waits.
-- Column longest_ns [ns; open longest_open] "longest": The longest wait.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column total_ns [ns] "total": All waits together.
-- Column run [; spare]: The run's id.
SELECT
  _runs.policy,
  settings,
  source,
  coalesce(at_risk_bytes, 0)::BIGINT AS at_risk_bytes,
  coalesce(lost_pages, 0)::BIGINT AS lost_pages,
  coalesce(stalls, 0) AS stalls,
  coalesce(longest_ns, 0) AS longest_ns,
  coalesce(longest_open, false) AS longest_open,
  coalesce(total_ns, 0)::BIGINT AS total_ns,
  run
FROM _runs
JOIN traces USING (trace)
LEFT JOIN (
  SELECT
    run,
    sum(bytes) FILTER (risk = 'corruption') AS at_risk_bytes,
    sum(npages) FILTER (risk = 'availability') AS lost_pages
  FROM conflicts
  GROUP BY run
) USING (run)
LEFT JOIN _waits USING (run)
WHERE getvariable('runs')::VARCHAR IS NULL OR list_contains(string_split(getvariable('runs')::VARCHAR, ' '), run)
ORDER BY source, trace, position, _runs.policy, settings, run;
