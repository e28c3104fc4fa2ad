-- Space that pins keep from being freed: how many blocks, for how long, beside what open but unlinked files keep.
--
-- Question: Does freed space come back while blocks are busy, above all where a file system is nearly full?
-- Source: Dan Williams, 11 Feb 2019: "The blocks you thought you freed, especially if the system was under -ENOSPC pressure,
--   won't actually be free".
-- Question: Is that worse than what an unlinked file that is still open keeps?
-- Source: Jason Gunthorpe, 11 Feb 2019: "Blocks also won't be free if you unlink a file that is currently still open".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs run busy-blocks: only policies that keep blocks busy hold space.
-- Needs truncate|punch|collapse from ext4:ext4_truncate_enter, ext4:ext4_punch_hole, xfs:xfs_free_file_space: only these free blocks.
-- Needs block_alloc from ext4:ext4_allocate_blocks: which allocations ask for blocks that are kept busy.
-- Needs ext4:ext4_unlink_enter: when a file lost its name; without it there is nothing to compare with.
-- Needs ext4:ext4_evict_inode: when an unlinked file's blocks were freed.
-- Tables: runs costs conflicts _series raw_ext4_ext4_unlink_enter raw_ext4_ext4_evict_inode _runs _traces
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column source "trace": The trace's source file.
-- Column held_pages [count] "blocks/held": Blocks of pinned pages that were freed and kept busy.
-- Column peak_blocks [count] "peak/blocks": The most at a time, as the mean of one interval of the series.
-- Column held_block_seconds [block-s] "held/block-s": Blocks kept from use, times seconds.
-- Column enospc_pages [count] "ENOSPC/pages": Pages whose allocation fails for want of these blocks.
-- Column unlinked_block_seconds [block-s] "unlinked/block-s": The same for files without a name, from unlink to evict.
-- Column ratio [times] "ratio": Held by pins, for each block-second that unlinked files keep; empty where they keep none.
WITH gone AS (
  SELECT trace, try_cast(dev AS BIGINT) AS dev, try_cast(ino AS BIGINT) AS ino, ts AS unlink_ts, try_cast(size AS BIGINT) AS size
  FROM raw_ext4_ext4_unlink_enter
),
evicted AS (
  SELECT trace, try_cast(dev AS BIGINT) AS dev, try_cast(ino AS BIGINT) AS ino, ts AS evict_ts
  FROM raw_ext4_ext4_evict_inode
  WHERE try_cast(nlink AS BIGINT) = 0
),
-- The first evict after the unlink; a file that is still open at the end keeps its blocks until then.
unlinked AS (
  SELECT gone.trace, sum(ceil(size / 4096) * (coalesce(evict_ts, ts_last) - unlink_ts)) / 1e9 AS block_seconds
  FROM gone
  ASOF LEFT JOIN evicted ON evicted.trace = gone.trace AND evicted.dev = gone.dev AND evicted.ino = gone.ino AND evict_ts >= unlink_ts
  JOIN _traces ON _traces.trace = gone.trace
  GROUP BY gone.trace
),
held AS (
  SELECT run, sum(npages) FILTER (class = 'space_held') AS held, sum(npages) FILTER (class = 'enospc_induced') AS enospc
  FROM conflicts
  WHERE class IN ('space_held', 'enospc_induced')
  GROUP BY run
),
peaks AS (
  SELECT run, max(ceil(value)) AS peak FROM _series WHERE metric = 'held_block_seconds' GROUP BY run
)
SELECT
  _runs.policy,
  settings,
  source,
  coalesce(held, 0)::BIGINT AS held_pages,
  coalesce(peak, 0)::BIGINT AS peak_blocks,
  coalesce(value, 0) AS held_block_seconds,
  coalesce(enospc, 0)::BIGINT AS enospc_pages,
  coalesce(block_seconds, 0) AS unlinked_block_seconds,
  coalesce(value, 0) / nullif(block_seconds, 0) AS ratio
FROM _runs
JOIN runs USING (run)
JOIN _traces ON _traces.trace = _runs.trace
LEFT JOIN costs ON costs.run = _runs.run AND metric = 'held_block_seconds'
LEFT JOIN peaks ON peaks.run = _runs.run
LEFT JOIN held ON held.run = _runs.run
LEFT JOIN unlinked ON unlinked.trace = _runs.trace
WHERE (decisions ->> '$.free') = 'busy'
ORDER BY position, _runs.policy, settings, source, _runs.run;
