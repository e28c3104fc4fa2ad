-- File operations that a policy makes fail, by file: what becomes impossible while a file is pinned.
--
-- Question: How much of today's work would fail if a pinned file became immutable?
-- Source: Dave Chinner, 8 Feb 2019: the file "can't be sparse ... can't be extended ... becomes an immutable".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 20: at most so many rows of each policy.
-- Needs run immutable|lease-exclusive: only policies that refuse layout changes make them fail.
-- Needs truncate|punch|collapse|reflink from ext4:ext4_truncate_enter, ext4:ext4_punch_hole, xfs:xfs_free_file_space: these are
--   the operations that may fail. Writes that extend a file are not in the trace as such and not counted.
-- Tables: conflicts _runs _tasks
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column file: The file.
-- Column op: The operation.
-- Column caller "called by": Who called it, as name/thread id.
-- Column error: What it would have seen: EPERM of an immutable file, ETXTBSY of an exclusive lease.
-- Column failed [count] "calls/failed": How many calls fail.
-- Column pages [count] "pinned/pages": Pinned pages in their ranges.
-- Column holder "for pins of": Who owns most of these pins, as name/thread id.
-- Column first_ts [ts; spare] "first at/s": The first one, on the trace's clock.
WITH by_holder AS (
  SELECT
    conflicts.policy, settings, position, file, op, class,
    coalesce(victim.name, '?/' || victim_tid) AS caller,
    coalesce(culprit.name, '?/' || culprit_tid) AS holder,
    list(DISTINCT (conflicts.run, victim_tid, ts)) AS calls,
    sum(npages) AS pages,
    min(ts) AS first_ts
  FROM conflicts
  JOIN _runs USING (run)
  LEFT JOIN _tasks AS victim ON victim.trace = conflicts.trace AND victim.tid = victim_tid
  LEFT JOIN _tasks AS culprit ON culprit.trace = conflicts.trace AND culprit.tid = culprit_tid
  WHERE class IN ('failed_fs_op', 'lease_denied')
  GROUP BY ALL
)
SELECT
  policy,
  settings,
  file,
  op,
  caller,
  CASE class WHEN 'lease_denied' THEN 'ETXTBSY' ELSE 'EPERM' END AS error,
  len(list_distinct(flatten(list(calls)))) AS failed,
  sum(by_holder.pages)::BIGINT AS pages,
  arg_max(holder, (by_holder.pages, holder)) AS holder,
  min(by_holder.first_ts) AS first_ts
FROM by_holder
GROUP BY policy, settings, position, file, op, class, caller
QUALIFY row_number() OVER (PARTITION BY policy, settings ORDER BY failed DESC, sum(by_holder.pages) DESC, file, op, caller)
  <= coalesce(getvariable('limit')::BIGINT, 20)
ORDER BY position, policy, settings, failed DESC, sum(by_holder.pages) DESC, file, op, caller;
