-- What the choice of parameters changes: one line for each run.
--
-- Question: How do breaks that time out, waits and lost operations depend on numbers that nobody knows, such as how long a
--   program takes to answer?
-- Source: Jason Gunthorpe, 7 Feb 2019: the kernel must be able to "wait ... 'forever' without consequence"; how long the holder
--   takes is known to nobody but the holder.
-- Parameter runs VARCHAR = NULL: only these runs, as ids with spaces between.
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Tables: costs traces _breaks _runs _sums _waits
-- Settings: all
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column source "trace": The trace's source file.
--
-- Section Outcomes: what happens to breaks of leases, to tasks that meet pins, and to operations.
-- Column breaks [count] "lease/breaks": Operations that broke a lease.
-- Column timeouts [count] "timed/out": Lease breaks that the holder did not answer in time.
-- Column timeout_share [percent] "share": The same as a share of all breaks.
-- Column stalls [count; spare]: Waits of tasks for a pin.
-- Column longest_ns [ns; open longest_open] "longest": The longest wait.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column total_ns [ns] "total": All waits together, each to its end or to the end of the trace.
-- Column unbounded [count; spare] "still/open": Waits that had not ended at the end of the trace.
-- Column failed_remote_ops [count] "remote ops/failed": Remote accesses to a revoked registration.
-- Column failed_fs_ops [count] "file ops/failed": Truncates, punches and the like that the policy fails.
-- Column killed_tasks [count] "tasks/killed": Tasks killed for not answering.
-- Column at_risk_bytes [bytes] "data/at risk": Bytes of the conflicts of risk corruption.
-- Column bounce_bytes [bytes; spare] "copied to/bounce": Bytes copied into bounce buffers.
-- Column rewrite_bytes [bytes; spare] "written/again": Bytes written again only because the policy keeps pages dirty.
-- Column run [; spare]: The run's id.
WITH risks AS (
  SELECT run, sum(bytes) FILTER (risk = 'corruption') AS at_risk_bytes FROM _sums GROUP BY run
),
cost_sums AS (
  PIVOT costs
  ON metric IN ('failed_remote_ops', 'failed_fs_ops', 'killed_tasks', 'bounce_bytes', 'rewrite_bytes')
  USING sum(value)
  GROUP BY run
)
SELECT
  _runs.policy,
  settings,
  source,
  coalesce(breaks, 0) AS breaks,
  coalesce(timeouts, 0) AS timeouts,
  timeouts / nullif(breaks, 0) AS timeout_share,
  coalesce(stalls, 0) AS stalls,
  coalesce(longest_ns, 0) AS longest_ns,
  coalesce(longest_open, false) AS longest_open,
  coalesce(total_ns, 0)::BIGINT AS total_ns,
  coalesce(unbounded, 0) AS unbounded,
  coalesce(failed_remote_ops, 0)::BIGINT AS failed_remote_ops,
  coalesce(failed_fs_ops, 0)::BIGINT AS failed_fs_ops,
  coalesce(killed_tasks, 0)::BIGINT AS killed_tasks,
  coalesce(at_risk_bytes, 0)::BIGINT AS at_risk_bytes,
  coalesce(bounce_bytes, 0)::BIGINT AS bounce_bytes,
  coalesce(rewrite_bytes, 0)::BIGINT AS rewrite_bytes,
  run
FROM _runs
JOIN traces USING (trace)
LEFT JOIN _breaks USING (run)
LEFT JOIN _waits USING (run)
LEFT JOIN risks USING (run)
LEFT JOIN cost_sums USING (run)
WHERE getvariable('runs')::VARCHAR IS NULL OR list_contains(string_split(getvariable('runs')::VARCHAR, ' '), run)
ORDER BY source, trace, position, _runs.policy, settings, run;
