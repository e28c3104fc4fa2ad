-- Long-term pins that the checks for a swap file would refuse: their range has pages without blocks.
--
-- Question: What share of long pins lies over holes, or beyond the end of the file, when it is made?
-- Source: Jan Kara, 11 Feb 2019: treat a pinned file like a swap file, with "sanity checks whether the file is fully allocated".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 20: at most so many rows of each policy and trace.
-- Needs run immutable: the check is one of its decisions.
-- Needs truncate|punch from ext4:ext4_truncate_enter, ext4:ext4_punch_hole, xfs:xfs_free_file_space: a trace shows no extents, so
--   the holes that are known are those that it saw made. Unwritten and shared extents, and holes from before, are not known.
-- Tables: pins refusals runs _runs _tasks _traces
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column source "trace": The trace's source file.
-- Column owner: Who pinned, as name/thread id.
-- Column file: The file.
-- Column pins [count] "long/pins": Its long-term pinned ranges.
-- Column refused_pins [count; spare] "refused/pins": Of them those over a known hole.
-- Column pages [count]: Pages of the long-term pins.
-- Column refused_pages [pages] "refused/pages": Pages of those over a known hole.
-- Column share [percent] "refused/share": Refused of all long-term pins.
WITH refused AS (
  SELECT run, pin, sum(npages) AS npages
  FROM refusals
  WHERE reason = 'need_allocated' AND pin IS NOT NULL
  GROUP BY run, pin
)
SELECT
  _runs.policy,
  settings,
  source,
  coalesce(name, '?/' || pins.tid) AS owner,
  file,
  count(*) AS pins,
  count(refused.pin) AS refused_pins,
  sum(pins.npages)::BIGINT AS pages,
  coalesce(sum(refused.npages), 0)::BIGINT AS refused_pages,
  count(refused.pin) / count(*) AS share
FROM _runs
JOIN runs USING (run)
JOIN _traces ON _traces.trace = _runs.trace
JOIN pins ON pins.trace = _runs.trace AND longterm AND file IS NOT NULL
LEFT JOIN _tasks ON _tasks.trace = pins.trace AND _tasks.tid = pins.tid
LEFT JOIN refused ON refused.run = _runs.run AND refused.pin = pins.pin
WHERE (decisions ->> '$.admit') LIKE '%need_allocated%'
GROUP BY _runs.policy, position, settings, _traces.trace, source, owner, file
QUALIFY row_number() OVER (PARTITION BY _runs.policy, settings, _traces.trace ORDER BY sum(pins.npages) DESC, owner, file)
  <= coalesce(getvariable('limit')::BIGINT, 20)
ORDER BY position, _runs.policy, settings, source, _traces.trace, pages DESC, owner, file;
