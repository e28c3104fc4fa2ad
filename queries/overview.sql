-- What each policy would have done to these traces.
--
-- Question: What would each of the four least-bad options, and those proposed since, cost this workload?
-- Source: the LSF/MM 2019 thread on RDMA and file systems, where nobody could say.
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Tables: costs _runs _sums _waits
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
--
-- Section Data at risk: page events where what is on disk may not be what the device wrote. What a policy refuses (below)
--   never happens: a zero beside refused pages is work not done, not safety.
-- Column traces [count; spare]: Traces that it was run on.
-- Column at_risk_bytes [bytes] "data/at risk": Bytes of the conflicts of risk corruption; a page counts each time.
-- Column at_risk_pages [count; spare] "pages": The same in pages.
-- Column wb_while_pinned [pages] "written/while pinned": Pages written back while a device could write them.
-- Column torn_snapshot [pages] "torn/snapshot": Pages copied while a device wrote them.
-- Column dirty_after_clean [pages] "dirtied/after clean": Pages that an unpin dirtied behind the file system's back.
-- Column fsync_misses [pages] "missed/by fsync": Clean pages that an fsync passed over though a device may have written.
-- Column truncated_pinned [pages] "truncated/pinned": Pages truncated or punched while pinned; the device writes on.
-- Column priv_released [pages] "buffers/stripped": Pages whose buffers reclaim released while pinned.
-- Column reuse_while_pinned [pages] "blocks/reused": Pages whose blocks went to another owner while pinned.
-- Column cow_divergence [pages] "diverged/by COW": Pages where device and file see different copies.
--
-- Section Service lost: pages, operations and tasks that did not get what they asked for.
-- Column lost_pages [count] "pages of/service lost": Pages of the conflicts of risk availability.
-- Column refused_pages [pages] "refused/pages": Pages whose pin or registration the policy refuses.
-- Column lost_remote_ops [count] "remote ops/never begun": Remote accesses behind a refused registration.
-- Column failed_remote_ops [count] "remote ops/failed": Remote accesses to a revoked registration.
-- Column failed_fs_ops [count] "file ops/failed": Truncates, punches and the like that the policy fails.
-- Column revoked_mrs [count] "MRs/revoked": MRs taken from their owners.
-- Column collateral_mrs [count; spare] "of them/collateral": MRs revoked though none of their pages was in the way.
-- Column killed_tasks [count] "tasks/killed": Tasks killed for not answering.
--
-- Section Stalls: time that tasks waited for a pin, beyond what the operation itself takes. A delay moves the later events of
--   the delayed task only, since a trace does not tell who waited for whom: read stalls as lower bounds.
-- Column stalls [count]: How many waits.
-- Column longest_ns [ns; open longest_open] "longest": The longest.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column total_ns [ns] "total": All together, each to its end or to the end of the trace.
-- Column unbounded [count] "still/open": How many had not ended at the end of the trace.
--
-- Section Cost: what the policy spends to keep its promise.
-- Column bounce_bytes [bytes] "copied to/bounce": Bytes copied into bounce buffers.
-- Column rewrite_bytes [bytes] "written/again": Bytes written again only because the policy keeps pages dirty.
-- Column held_block_seconds [block-s] "blocks held/block-s": Freed blocks kept from use, times seconds.
-- Column pinned_page_seconds [page-s; spare] "pinned/page-s": Pages pinned, once for each of their pins, times seconds.
-- Column unreclaimable_page_seconds [page-s] "unreclaimable/page-s": Pinned page cache pages, times seconds.
-- Column pressure_pages [pages; spare] "pressure/pages": Pages of the conflicts of risk pressure.
-- Column odp_faults [count] "ODP/faults": Device page faults.
-- Column odp_invalidations [count; spare] "ODP/invalidations": Ranges unmapped from devices.
WITH conflict_sums AS (
  SELECT
    run,
    sum(pages) FILTER (risk = 'corruption') AS at_risk_pages,
    sum(bytes) FILTER (risk = 'corruption') AS at_risk_bytes,
    sum(pages) FILTER (class = 'wb_while_pinned') AS wb_while_pinned,
    sum(pages) FILTER (class = 'torn_snapshot') AS torn_snapshot,
    sum(pages) FILTER (class = 'dirty_after_clean') AS dirty_after_clean,
    sum(pages) FILTER (class = 'fsync_misses_pinned') AS fsync_misses,
    sum(pages) FILTER (class = 'truncate_while_pinned') AS truncated_pinned,
    sum(pages) FILTER (class = 'priv_released_pinned') AS priv_released,
    sum(pages) FILTER (class = 'reuse_while_pinned') AS reuse_while_pinned,
    sum(pages) FILTER (class = 'cow_divergence') AS cow_divergence,
    sum(pages) FILTER (risk = 'availability') AS lost_pages,
    sum(pages) FILTER (risk = 'pressure') AS pressure_pages
  FROM _sums
  GROUP BY run
),
cost_sums AS (
  PIVOT costs
  ON metric IN (
    'refused_pages', 'lost_remote_ops', 'failed_remote_ops', 'failed_fs_ops', 'revoked_mrs', 'collateral_mrs', 'killed_tasks',
    'bounce_bytes', 'rewrite_bytes', 'held_block_seconds', 'pinned_page_seconds', 'unreclaimable_page_seconds', 'odp_faults',
    'odp_invalidations'
  )
  USING sum(value)
  GROUP BY run
)
SELECT
  policy,
  settings,
  count(DISTINCT trace) AS traces,
  coalesce(sum(at_risk_bytes), 0)::BIGINT AS at_risk_bytes,
  coalesce(sum(at_risk_pages), 0)::BIGINT AS at_risk_pages,
  coalesce(sum(wb_while_pinned), 0)::BIGINT AS wb_while_pinned,
  coalesce(sum(torn_snapshot), 0)::BIGINT AS torn_snapshot,
  coalesce(sum(dirty_after_clean), 0)::BIGINT AS dirty_after_clean,
  coalesce(sum(fsync_misses), 0)::BIGINT AS fsync_misses,
  coalesce(sum(truncated_pinned), 0)::BIGINT AS truncated_pinned,
  coalesce(sum(priv_released), 0)::BIGINT AS priv_released,
  coalesce(sum(reuse_while_pinned), 0)::BIGINT AS reuse_while_pinned,
  coalesce(sum(cow_divergence), 0)::BIGINT AS cow_divergence,
  coalesce(sum(lost_pages), 0)::BIGINT AS lost_pages,
  coalesce(sum(refused_pages), 0)::BIGINT AS refused_pages,
  coalesce(sum(lost_remote_ops), 0)::BIGINT AS lost_remote_ops,
  coalesce(sum(failed_remote_ops), 0)::BIGINT AS failed_remote_ops,
  coalesce(sum(failed_fs_ops), 0)::BIGINT AS failed_fs_ops,
  coalesce(sum(revoked_mrs), 0)::BIGINT AS revoked_mrs,
  coalesce(sum(collateral_mrs), 0)::BIGINT AS collateral_mrs,
  coalesce(sum(killed_tasks), 0)::BIGINT AS killed_tasks,
  coalesce(sum(stalls), 0)::BIGINT AS stalls,
  coalesce(max(longest_ns), 0)::BIGINT AS longest_ns,
  coalesce((max((longest_ns, longest_open)) FILTER (longest_ns IS NOT NULL))[2], false) AS longest_open,
  coalesce(sum(total_ns), 0)::BIGINT AS total_ns,
  coalesce(sum(unbounded), 0)::BIGINT AS unbounded,
  coalesce(sum(bounce_bytes), 0)::BIGINT AS bounce_bytes,
  coalesce(sum(rewrite_bytes), 0)::BIGINT AS rewrite_bytes,
  -- In one order: sums of fractions depend on it.
  coalesce(sum(held_block_seconds ORDER BY run), 0) AS held_block_seconds,
  coalesce(sum(pinned_page_seconds ORDER BY run), 0) AS pinned_page_seconds,
  coalesce(sum(unreclaimable_page_seconds ORDER BY run), 0) AS unreclaimable_page_seconds,
  coalesce(sum(pressure_pages), 0)::BIGINT AS pressure_pages,
  coalesce(sum(odp_faults), 0)::BIGINT AS odp_faults,
  coalesce(sum(odp_invalidations), 0)::BIGINT AS odp_invalidations
FROM _runs
LEFT JOIN conflict_sums USING (run)
LEFT JOIN _waits USING (run)
LEFT JOIN cost_sums USING (run)
GROUP BY policy, settings, position
ORDER BY position, policy, settings;
