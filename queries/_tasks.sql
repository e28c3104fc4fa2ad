-- Threads under the names that reports show, with the process that each belongs to as far as the trace tells.
SELECT trace, tid, coalesce(tgid, tid) AS process, coalesce(comm, '?') || '/' || tid AS name
FROM tasks
