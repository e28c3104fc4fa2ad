-- Who waited for a pin: operation, waiter, file and holder, longest first.
--
-- Question: How long does each operation wait, for whom, and does it ever end?
-- Source: Jan Kara, January 2018: "blocking e.g. writeback for hours ... simply is not acceptable".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 20: at most so many rows of each policy.
-- Tables: stalls pins mrs _runs _tasks
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column op: The operation that waited.
-- Column role [; spare]: app, kworker, breaker or remote.
-- Column waiter "waited": Who waited, as name/thread id.
-- Column file: The file.
-- Column holder "for a pin of": Who owned the pin, as name/thread id; empty where the trace does not show the pin.
-- Column stalls [count]: How many times.
-- Column longest_ns [ns; open longest_open] "longest": The longest wait.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column total_ns [ns] "total": All together, each to its end or to the end of the trace.
-- Column unbounded [count; spare] "still/open": How many had not ended at the end of the trace.
SELECT
  stalls.policy,
  settings,
  op,
  role,
  coalesce(waiting.name, '?/' || stalls.tid) AS waiter,
  stalls.file,
  coalesce(holding.name, '?/' || coalesce(pins.tid, mrs.tid)) AS holder,
  count(*) AS stalls,
  max(dur) AS longest_ns,
  max(dur) FILTER (unbounded) IS NOT DISTINCT FROM max(dur) AS longest_open,
  sum(dur)::BIGINT AS total_ns,
  count(*) FILTER (unbounded) AS unbounded
FROM stalls
JOIN _runs USING (run)
LEFT JOIN pins ON pins.trace = stalls.trace AND pins.pin = stalls.pin
LEFT JOIN mrs ON mrs.trace = stalls.trace AND mrs.mr = stalls.mr
LEFT JOIN _tasks AS waiting ON waiting.trace = stalls.trace AND waiting.tid = stalls.tid
LEFT JOIN _tasks AS holding ON holding.trace = stalls.trace AND holding.tid = coalesce(pins.tid, mrs.tid)
GROUP BY stalls.policy, settings, position, op, role, waiter, stalls.file, holder
QUALIFY row_number() OVER (PARTITION BY stalls.policy, settings ORDER BY total_ns DESC, waiter, stalls.file, holder, op)
  <= coalesce(getvariable('limit')::BIGINT, 20)
ORDER BY position, stalls.policy, settings, total_ns DESC, waiter, stalls.file, holder, op;
