-- What pins keep memory management from: reclaim, migration, compaction and the collapse into huge pages.
--
-- Question: Which features that must replace or take a page do pins inhibit, how often, and whose pins are they?
-- Source: John Hubbard, in the topic's first mails: features that "need to replace the page with a new one can be inhibited".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 20: at most so many rows of each policy.
-- Needs migrate from migrate:mm_migrate_pages: migration and compaction. The event counts pages without naming them: which of the
--   failures are a pin's shows only where events.jsonl names the file.
-- Needs reclaim from ext4:ext4_release_folio, vmscan:mm_vmscan_direct_reclaim_begin: pages that reclaim wanted.
-- Tables: conflicts raw_migrate_mm_migrate_pages _runs _tasks _traces
--
-- Column policy: The policy, as named; (recorded) for the kernel that was traced.
-- Column settings: Parameters that differ from the defaults.
-- Column class: unmap_refused or migrate_refused; priv_released_pinned where the page lost its buffers instead;
--   migration_failed for what the recorded kernel could not migrate, pinned or not.
-- Column file: The file.
-- Column holder "for pins of": Who owns the pin, as name/thread id.
-- Column attempts [count]: How many attempts met the pin.
-- Column pages [count]: Pages of these attempts; a page counts each time.
-- Column bytes [bytes] "memory": The same in bytes.
WITH refused AS (
  SELECT conflicts.policy, settings, position, conflicts.trace, class, file, culprit_tid, npages, bytes
  FROM conflicts
  JOIN _runs USING (run)
  WHERE class IN ('unmap_refused', 'migrate_refused', 'priv_released_pinned')
  UNION ALL
  SELECT '(recorded)', '', -1, trace, 'migration_failed', NULL, NULL, try_cast(failed AS BIGINT), try_cast(failed AS BIGINT) * 4096
  FROM raw_migrate_mm_migrate_pages
  JOIN _traces USING (trace)
  WHERE try_cast(failed AS BIGINT) > 0
)
SELECT
  policy,
  settings,
  class,
  file,
  coalesce(name, '?/' || culprit_tid) AS holder,
  count(*) AS attempts,
  sum(npages)::BIGINT AS pages,
  sum(bytes)::BIGINT AS bytes
FROM refused
LEFT JOIN _tasks ON _tasks.trace = refused.trace AND tid = culprit_tid
GROUP BY policy, settings, position, class, file, holder
QUALIFY row_number() OVER (PARTITION BY policy, settings ORDER BY sum(npages) DESC, class, file, holder)
  <= coalesce(getvariable('limit')::BIGINT, 20)
ORDER BY position, policy, settings, pages DESC, class, file, holder;
