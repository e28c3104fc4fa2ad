-- Writeback that does not last: pages written while pinned, and written again because they were.
--
-- Question: How much writeback of pinned pages is pointless, and how much more does a device write if pages stay dirty?
-- Source: Matthew Wilcox, January 2023: "no point in writing back a pinned page".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs wb_start from gup:folio_start_writeback, iomap:iomap_writeback_folio: only these show what is written.
-- Tables: _events conflicts costs _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column recorded_bytes [bytes] "written/as recorded": What the recorded kernel wrote back.
-- Column pinned_bytes [bytes] "written/while pinned": Bytes that the policy writes, then or later, while a device may write them, bounced or not.
-- Column rewrite_bytes [bytes] "written again/by the policy": Bytes written again only because the policy keeps pages dirty.
-- Column amplification [times] "amplifi-/cation": What is written with them, for each byte that was recorded.
WITH written AS (
  SELECT trace, sum(coalesce(npages, 1)) * 4096 AS bytes FROM _events AS events WHERE op = 'wb_start' GROUP BY trace
),
pinned AS (
  SELECT run, sum(bytes) AS bytes FROM conflicts WHERE class = 'wb_while_pinned' GROUP BY run
),
extra AS (
  SELECT
    run,
    sum(value) FILTER (metric = 'bounce_bytes') AS bounced,
    sum(value) FILTER (metric = 'rewrite_bytes') AS again
  FROM costs
  GROUP BY run
)
SELECT
  _runs.policy,
  settings,
  sum(written.bytes)::BIGINT AS recorded_bytes,
  (coalesce(sum(pinned.bytes), 0) + coalesce(sum(bounced), 0))::BIGINT AS pinned_bytes,
  coalesce(sum(again), 0)::BIGINT AS rewrite_bytes,
  (sum(written.bytes) + coalesce(sum(again), 0)) / sum(written.bytes) AS amplification
FROM _runs
JOIN written USING (trace)
LEFT JOIN pinned USING (run)
LEFT JOIN extra USING (run)
GROUP BY _runs.policy, settings, position
ORDER BY position, _runs.policy, settings;
