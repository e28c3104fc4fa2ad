-- How often each policy disturbs the workload: revocations, kills and failed operations, per hour too.
--
-- Question: Would users meet random process kills or random communication failures, and which workloads never would?
-- Source: Jason Gunthorpe, 6 Feb 2019: "without data corruption, random process kills or random communication failures".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Tables: costs _runs _traces
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
--
-- Section Disturbances: what the workload met within the traces.
-- Column traces [count]: Traces that it was run on.
-- Column traced_ns [ns] "traced": Their length together.
-- Column revoked_mrs [count] "MRs/revoked": MRs taken from their owners.
-- Column killed_tasks [count] "tasks/killed": Processes killed for not answering.
-- Column failed_remote_ops [count] "remote ops/failed": Remote accesses to a revoked registration.
-- Column failed_fs_ops [count] "file ops/failed": Truncates, punches and the like that the policy fails.
-- Column refused_pages [pages] "refused/pages": Pages whose pin or registration the policy refuses.
-- Column calm [count] "calm/traces": Traces without a revocation, kill or failed operation.
--
-- Section Per hour of trace: the same, scaled; a short trace makes large numbers of few events.
-- Column revoked_per_hour [per-hour] "MRs/revoked": MRs revoked, per hour.
-- Column killed_per_hour [per-hour] "tasks/killed": Processes killed, per hour.
-- Column remote_failed_per_hour [per-hour] "remote ops/failed": Remote accesses failed, per hour.
-- Column fs_failed_per_hour [per-hour] "file ops/failed": File operations failed, per hour.
--
-- Section Calm: the workloads that the policy never disturbs.
-- Column calm_traces "calm traces": Their source files, up to five.
WITH per_run AS (
  SELECT
    _runs.run, _runs.policy, settings, position, source, span,
    coalesce(sum(value) FILTER (metric = 'revoked_mrs'), 0) AS revoked,
    coalesce(sum(value) FILTER (metric = 'killed_tasks'), 0) AS killed,
    coalesce(sum(value) FILTER (metric = 'failed_remote_ops'), 0) AS remote_failed,
    coalesce(sum(value) FILTER (metric = 'failed_fs_ops'), 0) AS fs_failed,
    coalesce(sum(value) FILTER (metric = 'refused_pages'), 0) AS refused,
    revoked + killed + remote_failed + fs_failed = 0 AS calm
  FROM _runs
  JOIN _traces USING (trace)
  LEFT JOIN costs ON costs.run = _runs.run
  GROUP BY _runs.run, _runs.policy, settings, position, source, span
),
summed AS (
  SELECT
    policy,
    settings,
    position,
    count(*) AS traces,
    coalesce(sum(span), 0)::BIGINT AS traced_ns,
    sum(revoked)::BIGINT AS revoked_mrs,
    sum(killed)::BIGINT AS killed_tasks,
    sum(remote_failed)::BIGINT AS failed_remote_ops,
    sum(fs_failed)::BIGINT AS failed_fs_ops,
    sum(refused)::BIGINT AS refused_pages,
    count(*) FILTER (calm) AS calm,
    list(source ORDER BY source) FILTER (calm) AS calm_list
  FROM per_run
  GROUP BY policy, settings, position
)
SELECT
  * EXCLUDE (position, calm_list),
  revoked_mrs * 3.6e12 / nullif(traced_ns, 0) AS revoked_per_hour,
  killed_tasks * 3.6e12 / nullif(traced_ns, 0) AS killed_per_hour,
  failed_remote_ops * 3.6e12 / nullif(traced_ns, 0) AS remote_failed_per_hour,
  failed_fs_ops * 3.6e12 / nullif(traced_ns, 0) AS fs_failed_per_hour,
  coalesce(array_to_string(calm_list[:5], ', ') || CASE WHEN len(calm_list) > 5 THEN ', ...' ELSE '' END, '') AS calm_traces
FROM summed
ORDER BY position, policy, settings;
