-- Which operations move forward under each policy: done at once, done after a wait, failed, or never done.
--
-- Question: Does the policy move the result forward to what the user asked for, or does it block and fail?
-- Source: Dan Williams, 6 Feb 2019: leases "get out of the way ... move the result forward to the user requested state not
--   block and fail indefinitely".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Tables: _events mrs stalls conflicts refusals costs _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column kind "operations": Layout changes (truncate, punch, collapse, reflink), fsync, registrations, or remote accesses.
-- Column recorded [count]: Operations in the traces.
-- Column at_once [count] "done at/once": Those that a pin neither delays nor stops.
-- Column waited [count] "done after/a wait": Those that a pin delays.
-- Column failed [count]: Those that fail, or are refused.
-- Column never [count] "never/done": Still waiting at the end of the trace, or behind a refused registration.
-- Column moved_share [percent] "moved/forward": Those done, at once or after a wait.
WITH kinds(op, kind) AS (
  VALUES ('truncate', 'layout change'), ('punch', 'layout change'), ('collapse', 'layout change'), ('reflink', 'layout change'),
    ('layout_wait', 'layout change'), ('fsync', 'fsync'), ('remote_write', 'remote access'), ('remote_read', 'remote access')
),
counted AS (
  SELECT trace, op::VARCHAR AS op, count(*) AS n FROM _events AS events GROUP BY ALL
),
recorded AS (
  SELECT trace, kind, sum(n) AS recorded FROM counted JOIN kinds USING (op) WHERE op <> 'layout_wait' GROUP BY ALL
  UNION ALL
  SELECT trace, 'registration', count(*) FILTER (coalesce(result, 0) >= 0) FROM mrs WHERE NOT coalesce(preexisting, false) GROUP BY trace
),
-- One operation may wait for several pins in turn: count each once.
waits AS (
  SELECT run, kind, count(DISTINCT (tid, ts)) AS waits, count(DISTINCT (tid, ts)) FILTER (unbounded) AS open
  FROM stalls
  JOIN kinds USING (op)
  GROUP BY ALL
),
failures AS (
  SELECT run, 'layout change' AS kind, count(DISTINCT (victim_tid, ts)) AS failed, 0 AS never
  FROM conflicts
  WHERE class IN ('failed_fs_op', 'lease_denied')
  GROUP BY run
  UNION ALL
  SELECT run, 'registration', count(DISTINCT refusals.mr), 0
  FROM refusals
  JOIN mrs ON mrs.trace = refusals.trace AND mrs.mr = refusals.mr AND coalesce(result, 0) >= 0
  GROUP BY run
  UNION ALL
  SELECT
    run, 'remote access',
    sum(value) FILTER (metric = 'failed_remote_ops'),
    sum(value) FILTER (metric = 'lost_remote_ops')
  FROM costs
  GROUP BY run
),
outcome AS (
  SELECT
    _runs.policy, settings, position, kind,
    sum(recorded)::BIGINT AS recorded,
    coalesce(sum(waits - open), 0)::BIGINT AS waited,
    coalesce(sum(failed), 0)::BIGINT AS failed,
    (coalesce(sum(open), 0) + coalesce(sum(never), 0))::BIGINT AS never
  FROM _runs
  JOIN recorded USING (trace)
  LEFT JOIN waits USING (run, kind)
  LEFT JOIN failures USING (run, kind)
  GROUP BY ALL
)
SELECT
  policy,
  settings,
  kind,
  recorded,
  greatest(recorded - waited - failed - never, 0) AS at_once,
  waited,
  failed,
  never,
  (recorded - failed - never) / recorded AS moved_share
FROM outcome
WHERE recorded > 0
ORDER BY position, policy, settings, kind;
