-- What a revocation takes that was not in the way, by the granularity at which the device can revoke.
--
-- Question: How much more than needed is killed by hardware that can only revoke everything at once?
-- Source: Jan Kara, 11 Feb 2019: hardware without on-demand paging "has only one big kill-everything call".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Needs run lease: only policies that break leases revoke. More lines: replay run --policy lease --param hw.revoke=ucontext, and
--   hw.revoke=device.
-- Tables: revocations runs mrs _runs
--
-- Column policy: The policy, as named.
-- Column granularity "hw.revoke": The least that the device can revoke.
-- Column settings "other/settings": Parameters that differ from the defaults, but for hw.revoke.
-- Column revoked_mrs [count] "MRs/revoked": Revocations; an MR that is registered again may be revoked again.
-- Column needed_mrs [count] "of them/needed": Of MRs with a page in the operation's range.
-- Column collateral_mrs [count] "colla-/teral": Of MRs that were not in the way.
-- Column revoked_bytes [bytes] "memory/revoked": Size of the MRs that were revoked, once for each time.
-- Column needed_bytes [bytes] "of it/needed": Of MRs that were in the way.
-- Column factor [times] "times what/is needed": Memory revoked for each byte that had to be.
WITH revoked AS (
  SELECT
    revocations.run,
    count(*) AS all_mrs,
    count(*) FILTER (reason = 'collateral') AS collateral,
    sum(coalesce(bytes, revocations.npages * 4096)) AS all_bytes,
    sum(coalesce(bytes, revocations.npages * 4096)) FILTER (reason <> 'collateral') AS needed
  FROM revocations
  JOIN _runs USING (run)
  LEFT JOIN mrs ON mrs.trace = revocations.trace AND mrs.mr = revocations.mr
  GROUP BY revocations.run
)
SELECT
  _runs.policy,
  params ->> '$."hw.revoke"' AS granularity,
  trim(regexp_replace(settings, 'hw\.revoke=\S+ ?', '')) AS settings,
  sum(all_mrs)::BIGINT AS revoked_mrs,
  sum(all_mrs - collateral)::BIGINT AS needed_mrs,
  sum(collateral)::BIGINT AS collateral_mrs,
  sum(all_bytes)::BIGINT AS revoked_bytes,
  coalesce(sum(needed), 0)::BIGINT AS needed_bytes,
  sum(all_bytes) / nullif(sum(needed), 0) AS factor
FROM _runs
JOIN runs USING (run)
JOIN revoked USING (run)
GROUP BY _runs.policy, position, granularity, settings
ORDER BY position, _runs.policy, settings, revoked_bytes, granularity;
