-- On-demand paging: device page faults, how long the remote side waits for them, and those that cannot succeed.
--
-- Question: What do page faults of the device cost, and can they fail?
-- Source: Jan Kara, 12 Feb 2019: "Page faults can and do fail".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs run odp: only policies that do not pin have device page faults.
-- Needs remote_write|remote_read from gup:rxe_mr_copy: remote accesses; real hardware shows none, soft-RoCE does.
-- Needs truncate from ext4:ext4_truncate_enter, xfs:xfs_itruncate_extents_start, syscalls:sys_enter_ftruncate: a fault behind the
--   end of the file fails. Those for want of space no trace tells.
-- Tables: _events mrs runs costs stalls _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column accesses [count] "remote/accesses": Remote accesses in the traces.
-- Column faults [count]: Device page faults.
-- Column invalidations [count] "invali-/dations": Ranges unmapped from devices.
-- Column median_ns [ns] "wait/median": Half of the waits of remote accesses for a fault last no longer.
-- Column longest_ns [ns] "longest": The longest of them.
-- Column total_ns [ns] "total": All together.
-- Column behind_end [count] "behind the/file's end": Accesses whose fault must fail: behind the end that a truncate left, if the file did
--   not grow again, which the trace does not show.
-- Column behind_mrs [count] "of so/many MRs": The memory regions that these went through.
WITH cut AS (
  -- Where the first truncate cut into a region during its life.
  SELECT mrs.trace, mrs.mr, min(ts) AS cut_ts, arg_min(events.index, ts) AS cut_index
  FROM mrs
  JOIN _events AS events ON events.trace = mrs.trace AND events.file = mrs.file AND op = 'truncate' AND events.index < mrs.index + mrs.npages
  WHERE ts >= coalesce(ts_reg, ts) AND ts < coalesce(ts_dereg, ts + 1)
  GROUP BY mrs.trace, mrs.mr
),
accesses AS (
  SELECT
    trace,
    count(*) AS accesses,
    count(*) FILTER (ts > cut_ts AND index + npages > cut_index) AS behind,
    count(DISTINCT mr) FILTER (ts > cut_ts AND index + npages > cut_index) AS mrs
  FROM _events AS events
  LEFT JOIN cut USING (trace, mr)
  WHERE op IN ('remote_write', 'remote_read')
  GROUP BY trace
),
metrics AS (
  SELECT
    run,
    sum(value) FILTER (metric = 'odp_faults') AS faults,
    sum(value) FILTER (metric = 'odp_invalidations') AS invalidations
  FROM costs
  GROUP BY run
),
of_odp AS (
  SELECT _runs.* FROM _runs JOIN runs USING (run) WHERE (decisions ->> '$.admit') LIKE '%no_pin%'
),
waits AS (
  SELECT of_odp.policy, settings, quantile_disc(dur, 0.5) AS median_ns, max(dur) AS longest_ns, sum(dur)::BIGINT AS total_ns
  FROM stalls
  JOIN of_odp USING (run)
  WHERE role = 'remote'
  GROUP BY of_odp.policy, settings
)
SELECT
  policy,
  settings,
  coalesce(sum(accesses), 0)::BIGINT AS accesses,
  coalesce(sum(faults), 0)::BIGINT AS faults,
  coalesce(sum(invalidations), 0)::BIGINT AS invalidations,
  any_value(median_ns) AS median_ns,
  any_value(longest_ns) AS longest_ns,
  any_value(total_ns) AS total_ns,
  coalesce(sum(behind), 0)::BIGINT AS behind_end,
  coalesce(sum(accesses.mrs), 0)::BIGINT AS behind_mrs
FROM of_odp
LEFT JOIN accesses USING (trace)
LEFT JOIN metrics USING (run)
LEFT JOIN waits USING (policy, settings)
GROUP BY policy, settings, position
ORDER BY position, policy, settings;
