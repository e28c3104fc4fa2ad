-- Where policy and device met: conflicts by class and operation, with the worst file and who held its pins.
--
-- Question: Which operations meet pinned pages, and who is responsible for the pin?
-- Source: Jan Kara, 6 June 2019: "there's no trace that you're responsible for the pinned page anymore".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 100: at most so many rows of each policy.
-- Tables: conflicts _runs _tasks
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column risk [; spare]: corruption (data at risk), availability (service lost) or pressure (cost).
-- Column class: The conflict's class.
-- Column op: The operation that ran into it.
-- Column conflicts [count]: Conflict rows: one per event and contiguous page range.
-- Column pages [count]: Their pages; a page counts each time.
-- Column bytes [bytes; spare]: The same in bytes.
-- Column files [count; spare]: Files concerned.
-- Column worst_file "worst file": The file with the most pages.
-- Column holder "held by": Who owns most of the pinned pages, as name/thread id.
-- Column first_ts [ts; spare] "first at/s": The first one, on the trace's clock.
WITH summed AS ( -- before any join and by no more words than needed: there may be millions
  SELECT
    run, class, op, file, culprit_tid,
    any_value(risk) AS risk,
    count(*) AS conflicts,
    sum(npages) AS pages,
    sum(bytes) AS bytes,
    min(ts) AS first_ts
  FROM conflicts
  GROUP BY run, class, op, file, culprit_tid
),
by_file_and_holder AS (
  SELECT
    policy, settings, position, risk, class, op, file,
    coalesce(name, '?/' || culprit_tid) AS holder,
    sum(conflicts) AS conflicts,
    sum(pages) AS pages,
    sum(bytes) AS bytes,
    min(first_ts) AS first_ts
  FROM summed
  JOIN _runs USING (run)
  LEFT JOIN _tasks ON _tasks.trace = _runs.trace AND tid = culprit_tid
  GROUP BY ALL
)
SELECT
  policy,
  settings,
  risk,
  class,
  op,
  sum(conflicts)::BIGINT AS conflicts,
  sum(part.pages)::BIGINT AS pages,
  sum(part.bytes)::BIGINT AS bytes,
  count(DISTINCT file) AS files,
  arg_max(file, (part.pages, file)) AS worst_file,
  arg_max(holder, (part.pages, holder)) AS holder,
  min(part.first_ts) AS first_ts
FROM by_file_and_holder AS part
GROUP BY policy, settings, position, risk, class, op
QUALIFY row_number() OVER (PARTITION BY policy, settings ORDER BY sum(part.pages) DESC, class, op)
  <= coalesce(getvariable('limit')::BIGINT, 100)
ORDER BY position, policy, settings, sum(part.pages) DESC, class, op;
