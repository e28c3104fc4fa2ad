-- Pins that nobody answers for any more: their process is gone, its mapping is gone, or its lease is gone.
--
-- Question: Which pinned pages can a system administrator no longer trace to anybody, for how long, and who pinned them?
-- Source: Jan Kara, 6 June 2019: "a lack of visibility from sysadmin POV ... there's no trace that you're responsible for the
--   pinned page anymore".
-- Parameter trace VARCHAR = NULL: only this trace.
-- Parameter limit BIGINT = 50: at most so many rows of each trace.
-- Needs pin from gup:pin_user_pages_fast, gup:pin_user_pages: without pins there is nothing to own.
-- Needs exit from sched:sched_process_exit: which processes are gone.
-- Needs munmap from syscalls:sys_enter_munmap: which mappings are gone while their process lives.
-- Needs lease_add|lease_del from filelock:generic_add_lease, filelock:generic_delete_lease: who has a lease, and until when.
--   Which file descriptors keep a pin alive no trace shows.
-- Tables: _events pins _tasks _traces
--
-- Column source "trace": The trace's source file.
-- Column lost "what is/gone": process (exited), mapping (unmapped), or lease (given up or taken away).
-- Column owner "pinned by": Who pinned, as name/thread id.
-- Column file: The file; empty for anonymous memory and for what could not be resolved.
-- Column pins [count]: Pinned ranges that outlived it.
-- Column bytes [bytes] "memory": Their size.
-- Column longest_ns [ns; open longest_open] "longest/since": The longest time from then to the unpin.
-- Column longest_open: That pin was still held at the end of the trace.
-- Column alive [count] "held/at end": Pins still held at the end of the trace.
WITH held AS (
  SELECT
    trace, source, pin, coalesce(name, '?/' || pins.tid) AS owner, process, file, npages, addr,
    coalesce(ts_pin, ts_first) AS begin_ts, coalesce(ts_unpin, ts_last) AS end_ts, ts_unpin IS NULL AS open
  FROM pins
  JOIN _traces USING (trace)
  LEFT JOIN _tasks USING (trace, tid)
),
facts AS (
  SELECT trace, op::VARCHAR AS op, ts, tid, coalesce(tgid, tid) AS process, file, addr, bytes
  FROM _events AS events
  WHERE op IN ('exit', 'munmap', 'lease_add', 'lease_del')
),
-- A process is gone with its last thread that the trace sees exit, if its leader is among them.
exits AS (
  SELECT trace, process, max(ts) AS ts FROM facts WHERE op = 'exit' GROUP BY trace, process HAVING bool_or(tid = process)
),
reach AS (
  SELECT trace, process, min(addr) AS low, max(addr + npages * 4096) AS high FROM held GROUP BY trace, process
),
unmaps AS (
  SELECT facts.trace, facts.process, ts, addr, addr + bytes AS stop
  FROM facts
  JOIN reach ON reach.trace = facts.trace AND reach.process = facts.process AND addr < high AND addr + bytes > low
  WHERE op = 'munmap'
),
leases AS (
  SELECT trace, process, file, max(ts) AS ts FROM facts WHERE op = 'lease_del' GROUP BY ALL
),
lost AS (
  SELECT held.*, 'process' AS lost, ts FROM held JOIN exits USING (trace, process) WHERE ts >= begin_ts AND ts < end_ts
  UNION ALL
  SELECT held.*, 'mapping', min(ts)
  FROM held
  JOIN unmaps ON unmaps.trace = held.trace AND unmaps.process = held.process
    AND unmaps.addr < held.addr + npages * 4096 AND stop > held.addr AND ts >= begin_ts AND ts < end_ts
  GROUP BY ALL
  UNION ALL
  SELECT held.*, 'lease', ts FROM held JOIN leases USING (trace, process, file) WHERE ts >= begin_ts AND ts < end_ts
)
SELECT
  source,
  lost,
  owner,
  file,
  count(*) AS pins,
  sum(npages * 4096)::BIGINT AS bytes,
  max(end_ts - ts) AS longest_ns,
  arg_max(open, (end_ts - ts, open)) AS longest_open,
  count(*) FILTER (open) AS alive
FROM lost
GROUP BY source, trace, lost, owner, file
QUALIFY row_number() OVER (PARTITION BY trace ORDER BY sum(npages) DESC, lost, owner, file)
  <= coalesce(getvariable('limit')::BIGINT, 50)
ORDER BY source, trace, sum(npages) DESC, lost, owner, file;
