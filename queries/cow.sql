-- Files whose pinned pages diverge from what the device sees, and reflinks that pins hold up.
--
-- Question: Does a region over a copy-on-write file go out of step with the file, or must new reflinks be blocked?
-- Source: Jason Gunthorpe, 6 Feb 2019: "new reflinks would be blocked during the DMA pin period".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs reflink from xfs:xfs_reflink_remap_range: only reflinks share extents, which the next write takes apart.
-- Tables: _events conflicts stalls _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column reflinks [count]: Reflinks in the traces.
-- Column met [count] "met a/pin": Of them those into a range with pinned pages. XFS drops the pages of the target just before
--   it records the reflink: where a policy lets them go, that is a conflict of op evict.
-- Column failed [count]: Of them those that the policy makes fail.
-- Column stalls [count] "waits": Waits of reflinks for a pin.
-- Column longest_ns [ns; open longest_open] "longest": The longest of them.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column diverged_pages [pages] "diverged/pages": Pages of which device and file see different copies.
WITH recorded AS (
  SELECT trace, count(*) AS reflinks FROM _events AS events WHERE op = 'reflink' GROUP BY trace
),
met AS (
  SELECT
    run,
    count(DISTINCT (victim_tid, ts)) FILTER (op = 'reflink') AS met,
    count(DISTINCT (victim_tid, ts)) FILTER (op = 'reflink' AND class IN ('failed_fs_op', 'lease_denied')) AS failed,
    sum(npages) FILTER (class = 'cow_divergence') AS diverged
  FROM conflicts
  WHERE op = 'reflink' OR class = 'cow_divergence'
  GROUP BY run
),
waits AS (
  SELECT
    run,
    count(*) AS stalls,
    max(dur) AS longest_ns,
    max(dur) FILTER (unbounded) IS NOT DISTINCT FROM max(dur) AS longest_open
  FROM stalls
  WHERE op = 'reflink'
  GROUP BY run
)
SELECT
  policy,
  settings,
  coalesce(sum(reflinks), 0)::BIGINT AS reflinks,
  coalesce(sum(met), 0)::BIGINT AS met,
  coalesce(sum(failed), 0)::BIGINT AS failed,
  coalesce(sum(stalls), 0)::BIGINT AS stalls,
  coalesce(max(longest_ns), 0)::BIGINT AS longest_ns,
  coalesce(max((longest_ns, longest_open))[2], false) AS longest_open,
  coalesce(sum(diverged), 0)::BIGINT AS diverged_pages
FROM _runs
LEFT JOIN recorded USING (trace)
LEFT JOIN met USING (run)
LEFT JOIN waits USING (run)
GROUP BY policy, settings, position
HAVING reflinks > 0 OR diverged_pages > 0
ORDER BY position, policy, settings;
