-- What would be enough: keeping reclaim away from pinned pages, or bounce buffers too.
--
-- Question: What share of the conflicts goes away if only pinned pages keep their buffers, and what still needs bouncing?
-- Source: Jan Kara, January 2023: the first two patches "deal with 99% of the observed issues".
-- Question: How much has to be bounced if background writeback skips pinned pages?
-- Source: Jan Kara's series of February 2023, in which only writeback for integrity bounces.
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs run none: the conflicts without any protection.
-- Needs run bounce: what all writeback of pinned pages costs.
-- Needs run bounce-sync: what writeback for integrity alone costs.
-- Needs reclaim from ext4:ext4_release_folio, vmscan:mm_vmscan_direct_reclaim_begin: only these show reclaim take buffers.
-- Tables: _sums costs _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
--
-- Section At risk: pages of conflicts of risk corruption, by what it takes to avoid them.
-- Column at_risk_pages [count] "pages/at risk": Pages of all conflicts of risk corruption; a page counts each time.
-- Column stripped_pages [pages] "buffers/stripped": Pages that lose their buffers to reclaim: not if reclaim keeps away.
-- Column stripped_share [percent] "stripped/share": The same as a share.
-- Column written_pages [pages] "written/pinned": Pages written while a device may write them: not if they are bounced.
-- Column written_share [percent] "written/share": The same as a share.
-- Column clean_pages [pages] "behind a/clean page": Pages missed by fsync or dirtied after they were clean: not if they stay dirty.
-- Column layout_pages [pages] "out of/the file": Pages truncated, reused or diverged: neither helps.
--
-- Section Bounced: what bouncing costs, and what it leaves at risk.
-- Column torn_pages [pages] "torn/snapshot": Pages copied while a device writes them: what bouncing leaves.
-- Column bounce_bytes [bytes] "bounced": Bytes copied into bounce buffers.
WITH pages AS (
  SELECT
    run,
    sum(pages) AS at_risk,
    sum(pages) FILTER (class = 'priv_released_pinned') AS stripped,
    sum(pages) FILTER (class = 'wb_while_pinned') AS written,
    sum(pages) FILTER (class IN ('dirty_after_clean', 'fsync_misses_pinned')) AS clean,
    sum(pages) FILTER (class IN ('truncate_while_pinned', 'reuse_while_pinned', 'cow_divergence')) AS layout,
    sum(pages) FILTER (class = 'torn_snapshot') AS torn
  FROM _sums
  WHERE risk = 'corruption'
  GROUP BY run
),
bounced AS (
  SELECT run, sum(value) AS bytes FROM costs WHERE metric = 'bounce_bytes' GROUP BY run
)
SELECT
  policy,
  settings,
  coalesce(sum(at_risk), 0)::BIGINT AS at_risk_pages,
  coalesce(sum(stripped), 0)::BIGINT AS stripped_pages,
  coalesce(sum(stripped), 0) / nullif(sum(at_risk), 0) AS stripped_share,
  coalesce(sum(written), 0)::BIGINT AS written_pages,
  coalesce(sum(written), 0) / nullif(sum(at_risk), 0) AS written_share,
  coalesce(sum(clean), 0)::BIGINT AS clean_pages,
  coalesce(sum(layout), 0)::BIGINT AS layout_pages,
  coalesce(sum(torn), 0)::BIGINT AS torn_pages,
  coalesce(sum(bytes), 0)::BIGINT AS bounce_bytes
FROM _runs
LEFT JOIN pages USING (run)
LEFT JOIN bounced USING (run)
GROUP BY policy, settings, position
ORDER BY position, policy, settings;
