-- Who hurts whom: the owner of a pin, its memory region and file, and the task that ran into it.
--
-- Question: Whose pins, through which memory region, put whose operations at risk or make them wait?
-- Source: Jan Kara, 6 June 2019: "there's no trace that you're responsible for the pinned page anymore".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter limit BIGINT = 20: at most so many rows of each policy.
-- Tables: conflicts stalls pins mrs _runs _tasks
--
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column holder "pins of": Who owns the pins, as name/thread id; empty where the trace does not show it.
-- Column mr "MR": The memory region, as its number in table mrs; empty for other pins.
-- Column file [; spare]: The file.
-- Column label [; spare] "called": What the trace calls the memory region.
-- Column op: The operation that ran into them.
-- Column victim "hurt": Who ran it, as name/thread id.
-- Column at_risk_pages [pages] "pages/at risk": Pages of the conflicts of risk corruption; a page counts each time.
-- Column lost_pages [pages] "pages of/service lost": Pages of the conflicts of risk availability.
-- Column pressure_pages [pages; spare] "pressure/pages": Pages of the conflicts of risk pressure.
-- Column stalls [count; spare]: Waits for such a pin.
-- Column longest_ns [ns; open longest_open; spare] "longest": The longest.
-- Column longest_open: The longest had not ended at the end of the trace.
-- Column total_ns [ns] "waited": All waits together, each to its end or to the end of the trace.
WITH met AS ( -- before any join and into one sum: there may be millions
  SELECT run, risk, mr, file, op, culprit_tid AS holder_tid, victim_tid, sum(npages) AS pages
  FROM conflicts
  GROUP BY ALL
),
waited AS (
  SELECT
    run, trace, mr, pin, file, op, tid AS victim_tid,
    count(*) AS stalls,
    max(dur) AS longest_ns,
    max(dur) FILTER (unbounded) AS longest_open_ns,
    sum(dur) AS total_ns
  FROM stalls
  GROUP BY ALL
),
hurt AS (
  SELECT
    met.* EXCLUDE (risk, pages),
    CASE risk WHEN 'corruption' THEN pages END AS at_risk_pages,
    CASE risk WHEN 'availability' THEN pages END AS lost_pages,
    CASE risk WHEN 'pressure' THEN pages END AS pressure_pages
  FROM met
  UNION ALL BY NAME
  SELECT waited.* EXCLUDE (trace, pin), coalesce(pins.tid, mrs.tid) AS holder_tid
  FROM waited
  LEFT JOIN pins ON pins.trace = waited.trace AND pins.pin = waited.pin
  LEFT JOIN mrs ON mrs.trace = waited.trace AND mrs.mr = waited.mr
)
SELECT
  policy,
  settings,
  coalesce(holding.name, '?/' || holder_tid) AS holder,
  hurt.mr,
  hurt.file,
  label,
  op,
  coalesce(meeting.name, '?/' || victim_tid) AS victim,
  coalesce(sum(at_risk_pages), 0)::BIGINT AS at_risk_pages,
  coalesce(sum(lost_pages), 0)::BIGINT AS lost_pages,
  coalesce(sum(pressure_pages), 0)::BIGINT AS pressure_pages,
  coalesce(sum(stalls), 0)::BIGINT AS stalls,
  coalesce(max(longest_ns), 0)::BIGINT AS longest_ns,
  -- Of two equally long stalls the open one is the longer.
  coalesce(max(longest_open_ns) = max(longest_ns), false) AS longest_open,
  coalesce(sum(total_ns), 0)::BIGINT AS total_ns
FROM hurt
JOIN _runs USING (run)
LEFT JOIN mrs ON mrs.trace = _runs.trace AND mrs.mr = hurt.mr
LEFT JOIN _tasks AS holding ON holding.trace = _runs.trace AND holding.tid = holder_tid
LEFT JOIN _tasks AS meeting ON meeting.trace = _runs.trace AND meeting.tid = victim_tid
GROUP BY policy, settings, position, _runs.trace, holder, hurt.mr, label, hurt.file, op, victim
QUALIFY row_number() OVER (
  PARTITION BY policy, settings
  ORDER BY sum(at_risk_pages) DESC NULLS LAST, sum(lost_pages) DESC NULLS LAST, sum(total_ns) DESC NULLS LAST,
    sum(pressure_pages) DESC NULLS LAST, _runs.trace, holder, hurt.mr, hurt.file, op, victim
) <= coalesce(getvariable('limit')::BIGINT, 20)
ORDER BY position, policy, settings, sum(at_risk_pages) DESC NULLS LAST, sum(lost_pages) DESC NULLS LAST,
  sum(total_ns) DESC NULLS LAST, sum(pressure_pages) DESC NULLS LAST, _runs.trace, holder, hurt.mr, hurt.file, op, victim;
