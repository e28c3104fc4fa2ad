-- What lease breaks cost, and what happens to those that nobody answers: one line for each choice of parameters.
--
-- Question: May a lease break wait forever, and how many breaks would time out if the holder takes that long?
-- Source: Jason Gunthorpe, 7 Feb 2019: the application must be able to "wait ... 'forever' without consequence" or it is
--   destabilised by the kernel's escalation; "what happens on NFS if the revoke takes too long?"
-- Question: What should happen if a lease is revoked and the user does not respond: wait, fail its IO, or kill it?
-- Source: Ira Weiny, in the topic's first mail: "what happens should a lease be revoked which a user does not respond to".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs run lease: only policies that break leases have an answer. More lines: replay sweep --policy lease
--   --param lease.app=1ms..600s:20 --param lease.on_timeout=wait,fail_io,kill.
-- Tables: conflicts stalls costs runs _breaks _durations _runs
-- Settings: all
--
-- Column policy: The policy, as named.
-- Column app "lease/.app": How long the holder's program takes to react.
-- Column break_time "lease.break/_time": How long a break waits for the holder.
-- Column on_timeout "lease.on/_timeout": What a timed-out break does.
-- Column settings "other/settings": Parameters that differ from the defaults, but for these three.
--
-- Section Breaks: operations that asked a holder to let go, and how long they waited for that.
-- Column breaks [count]: Operations that broke a lease.
-- Column timeouts [count] "timed/out": Of them those that the holder did not answer in time.
-- Column timeout_share [percent] "share": The same as a share.
-- Column longest_ns [ns; open longest_open] "longest/stall": The longest wait of an operation.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column total_ns [ns] "all/stalls": All waits together, each to its end or to the end of the trace.
-- Column unbounded [count] "still/open": Waits that had not ended at the end of the trace.
--
-- Section Consequences: what the holders lost.
-- Column revoked_mrs [count] "MRs/revoked": MRs taken from their owners.
-- Column killed_tasks [count] "tasks/killed": Processes killed for not answering.
-- Column failed_remote_ops [count] "remote ops/failed": Remote accesses to a revoked registration.
-- Column lost_write_bytes [bytes] "writes/lost": Pages of the remote writes among them, in bytes.
WITH lost_writes AS (
  SELECT run, sum(bytes) AS lost_write_bytes
  FROM conflicts
  WHERE class = 'remote_op_failed' AND op = 'remote_write'
  GROUP BY run
),
waits AS (
  SELECT
    run,
    max(dur) AS longest_ns,
    max(dur) FILTER (unbounded) IS NOT DISTINCT FROM max(dur) AS longest_open,
    sum(dur) AS total_ns,
    count(*) FILTER (unbounded) AS unbounded
  FROM stalls
  WHERE role = 'breaker' AND (pin IS NOT NULL OR mr IS NOT NULL) -- not the waits for direct IO, which no lease covers
  GROUP BY run
),
durations AS (
  SELECT
    run,
    max(ns) FILTER (parameter = 'lease.app') AS app_ns,
    max(ns) FILTER (parameter = 'lease.break_time') AS break_time_ns
  FROM _durations
  GROUP BY run
),
losses AS (
  SELECT
    run,
    sum(value) FILTER (metric = 'revoked_mrs') AS revoked_mrs,
    sum(value) FILTER (metric = 'killed_tasks') AS killed_tasks,
    sum(value) FILTER (metric = 'failed_remote_ops') AS failed_remote_ops
  FROM costs
  GROUP BY run
)
SELECT
  _runs.policy,
  params ->> '$."lease.app"' AS app,
  params ->> '$."lease.break_time"' AS break_time,
  params ->> '$."lease.on_timeout"' AS on_timeout,
  trim(regexp_replace(settings, 'lease\.(app|break_time|on_timeout)=\S+ ?', '', 'g')) AS settings,
  coalesce(sum(breaks), 0)::BIGINT AS breaks,
  coalesce(sum(timeouts), 0)::BIGINT AS timeouts,
  sum(timeouts) / nullif(sum(breaks), 0) AS timeout_share,
  coalesce(max(longest_ns), 0)::BIGINT AS longest_ns,
  coalesce(max((longest_ns, longest_open))[2], false) AS longest_open,
  coalesce(sum(total_ns), 0)::BIGINT AS total_ns,
  coalesce(sum(unbounded), 0)::BIGINT AS unbounded,
  coalesce(sum(revoked_mrs), 0)::BIGINT AS revoked_mrs,
  coalesce(sum(killed_tasks), 0)::BIGINT AS killed_tasks,
  coalesce(sum(failed_remote_ops), 0)::BIGINT AS failed_remote_ops,
  coalesce(sum(lost_write_bytes), 0)::BIGINT AS lost_write_bytes
FROM _runs
JOIN runs USING (run)
LEFT JOIN durations USING (run)
LEFT JOIN _breaks USING (run)
LEFT JOIN waits USING (run)
LEFT JOIN losses USING (run)
LEFT JOIN lost_writes USING (run)
WHERE (decisions ->> '$.layout') LIKE '%break_lease%'
GROUP BY _runs.policy, position, app, break_time, on_timeout, settings
ORDER BY position, _runs.policy, settings, on_timeout, max(break_time_ns), max(app_ns);
