-- RDMA memory regions: owner, file, size, life, and what would happen to them.
--
-- Question: Which registrations get in the way, and which would a policy refuse or revoke?
-- Source: the closing rule of the topic's first mail: hardware that cannot revoke stays away from DAX file systems.
-- Parameter trace VARCHAR = NULL: only this trace.
-- Parameter limit BIGINT = 100: at most so many rows of each trace.
-- Needs mr_reg from gup:ib_umem_get: only registrations make memory regions.
-- Tables: mrs refusals revocations _traces
--
-- Column source "trace": The trace's source file.
-- Column mr: The memory region.
-- Column owner: Who registered it, as name/thread id.
-- Column device [; spare]: RDMA device.
-- Column file: The file; empty for anonymous memory.
-- Column index [; spare]: First page within the file.
-- Column npages [count] "pages": File pages pinned through it.
-- Column write [flag; spare] "device/writes": The device may write.
-- Column result: 0, or the negative errno with which the recorded kernel refused it.
-- Column life_ns [ns; open alive] "life": From registration to release, within the trace; empty where it was refused.
-- Column alive: Still registered at the end of the trace.
-- Column refused_by "refused by": Policies, of those that were run, that refuse it.
-- Column revoked_by "revoked by": Policies, of those that were run, that revoke it.
SELECT
  source,
  mrs.mr,
  coalesce(mrs.comm, '?') || '/' || mrs.tid AS owner,
  device,
  file,
  index,
  npages,
  write,
  result,
  CASE WHEN coalesce(result, 0) >= 0 THEN coalesce(ts_dereg, ts_last) - coalesce(ts_reg, ts_first) END AS life_ns,
  ts_dereg IS NULL AND coalesce(result, 0) >= 0 AS alive,
  coalesce(refused_by, '') AS refused_by,
  coalesce(revoked_by, '') AS revoked_by
FROM mrs
JOIN _traces USING (trace)
LEFT JOIN (
  SELECT trace, mr, string_agg(DISTINCT policy, ' ' ORDER BY policy) AS refused_by FROM refusals GROUP BY trace, mr
) AS refused ON refused.trace = mrs.trace AND refused.mr = mrs.mr
LEFT JOIN (
  SELECT trace, mr, string_agg(DISTINCT policy, ' ' ORDER BY policy) AS revoked_by FROM revocations GROUP BY trace, mr
) AS revoked ON revoked.trace = mrs.trace AND revoked.mr = mrs.mr
QUALIFY row_number() OVER (PARTITION BY mrs.trace ORDER BY mrs.mr) <= coalesce(getvariable('limit')::BIGINT, 100)
ORDER BY source, mrs.trace, mrs.mr;
