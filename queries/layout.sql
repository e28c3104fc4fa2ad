-- Which kinds of layout change meet pinned pages, and whether the pin's own process asked for them.
--
-- Question: Is truncate the problem, or is it every operation that moves blocks: fallocate, punch, collapse, reflink?
-- Source: Dave Chinner, 6 Feb 2019: "Truncate is a red herring ... any fallocate() operation, and ... shares or de-shares
--   extents".
-- Question: How many of them come from the process that holds the pin, and which lease would not stop?
-- Source: Matthew Wilcox, 13 June 2019: even the lease owner's own IO can free blocks under the device.
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs truncate|punch|collapse|reflink from ext4:ext4_truncate_enter, ext4:ext4_punch_hole, xfs:xfs_free_file_space: only what
--   changes a file's blocks is counted here.
-- Tables: conflicts _events _runs _tasks
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column class: What the policy makes of the meeting.
-- Column op: The operation.
-- Column ops [count] "opera-/tions": How many operations met a pinned page.
-- Column pages [count]: Pinned pages that they met; a page counts each time.
-- Column share [percent] "of all/pages": These pages, of all that the policy met in this way.
-- Column own_pages [count] "by the/pinner": Pages that the pin's own process asked to change.
-- Column other_pages [count] "by/others": Pages that another process asked to change.
-- Column unknown_pages [count; spare] "pin not/in trace": Pages whose pin the trace does not show.
WITH met AS (
  SELECT conflicts.policy, settings, position, run, conflicts.trace, class, op::VARCHAR AS op, victim_tid, culprit_tid, ts, npages
  FROM conflicts
  JOIN _runs USING (run)
  WHERE op IN ('truncate', 'punch', 'collapse', 'reflink', 'layout_wait')
    AND class IN ('truncate_while_pinned', 'layout_break', 'lease_break', 'lease_denied', 'failed_fs_op', 'space_held')
),
-- One operation drops its pages one by one: the last that its task began is the one that they belong to.
begun AS (
  SELECT trace, op::VARCHAR AS op, tid, ts AS begin_ts
  FROM _events AS events
  WHERE op IN ('truncate', 'punch', 'collapse', 'reflink')
)
SELECT
  policy,
  settings,
  class,
  met.op,
  count(DISTINCT (
    run, victim_tid, CASE WHEN class IN ('truncate_while_pinned', 'space_held') THEN coalesce(begin_ts, met.ts) ELSE met.ts END
  )) AS ops,
  sum(npages)::BIGINT AS pages,
  sum(npages) / sum(sum(npages)) OVER (PARTITION BY policy, settings, class) AS share,
  coalesce(sum(npages) FILTER (culprit.process = victim.process), 0)::BIGINT AS own_pages,
  coalesce(sum(npages) FILTER (culprit.process <> victim.process), 0)::BIGINT AS other_pages,
  coalesce(sum(npages) FILTER (culprit.process IS NULL OR victim.process IS NULL), 0)::BIGINT AS unknown_pages
FROM met
ASOF LEFT JOIN begun ON begun.trace = met.trace AND begun.op = met.op AND begun.tid = victim_tid AND begin_ts <= met.ts
LEFT JOIN _tasks AS culprit ON culprit.trace = met.trace AND culprit.tid = culprit_tid
LEFT JOIN _tasks AS victim ON victim.trace = met.trace AND victim.tid = victim_tid
GROUP BY policy, settings, position, class, met.op
ORDER BY position, policy, settings, class, pages DESC, met.op;
