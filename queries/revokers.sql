-- What triggers revocations: operation, program and file, most pages first.
--
-- Question: Under which system design is there a guarantee that revoke will not happen: who triggers it, by which operation?
-- Source: Jason Gunthorpe, 6 Feb 2019: "how can the FS/MM side provide a guarantee to the user that revoke won't happen
--   under a certain system design?"
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 20: at most so many rows of each policy.
-- Needs run lease: only policies that break leases revoke.
-- Needs truncate|punch|collapse|reflink from ext4:ext4_truncate_enter, ext4:ext4_punch_hole, xfs:xfs_free_file_space: only what
--   changes a file's blocks breaks a lease.
-- Tables: revocations tasks _runs
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column op: The operation that broke the lease.
-- Column program "by": The program that ran it.
-- Column file: The file that it was about.
-- Column ops [count] "opera-/tions": How many operations revoked anything.
-- Column mrs [count] "MRs/revoked": Revocations; an MR that is registered again may be revoked again.
-- Column collateral [count] "not in/range": Of them those of MRs outside of the operation's range.
-- Column pages [count] "pages/unpinned": Pages of the revoked MRs.
-- Column timed_out [count] "after a/time-out": Revocations that followed from no answer: failed IO, or a kill.
SELECT
  revocations.policy,
  settings,
  op,
  coalesce(comm, '?') AS program,
  file,
  count(DISTINCT (revocations.run, breaker_tid, ts)) AS ops,
  count(*) AS mrs,
  count(*) FILTER (reason = 'collateral') AS collateral,
  sum(npages)::BIGINT AS pages,
  count(*) FILTER (starts_with(reason, 'timeout')) AS timed_out
FROM revocations
JOIN _runs USING (run)
LEFT JOIN tasks ON tasks.trace = revocations.trace AND tasks.tid = breaker_tid
GROUP BY revocations.policy, settings, position, op, program, file
QUALIFY row_number() OVER (PARTITION BY revocations.policy, settings ORDER BY sum(npages) DESC, op, program, file)
  <= coalesce(getvariable('limit')::BIGINT, 20)
ORDER BY position, revocations.policy, settings, sum(npages) DESC, op, program, file;
