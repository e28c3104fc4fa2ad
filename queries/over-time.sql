-- When policy and device met: pages of conflicts, and waits, in each interval of a trace.
--
-- Question: Does a policy hurt all the time, or at certain moments, and at which?
-- Source: Jason Gunthorpe, 6 Feb 2019: "few users would actually want to run in a system where revoke can be triggered".
-- Parameter trace VARCHAR = NULL: only runs on this trace.
-- Parameter policy VARCHAR = NULL: only runs of this policy.
-- Parameter intervals BIGINT = 60: cut a trace into at most so many intervals, of a round length.
-- Tables: conflicts stalls _widths _runs
--
-- Column source "trace": The trace's source file.
-- Column trace [; spare] "id": The trace's id.
-- Column policy: The policy, as named.
-- Column settings: Parameters that differ from the defaults.
-- Column ts [ts] "from/s": Begin of the interval, on the trace's clock.
-- Column after_ns [ns] "after": Begin of the interval, from the trace's first event on.
-- Column width_ns [ns] "length": Length of the interval.
-- Column at_risk_pages [pages] "pages/at risk": Pages of the conflicts of risk corruption; a page counts each time.
-- Column lost_pages [pages] "pages of/service lost": Pages of the conflicts of risk availability.
-- Column pressure_pages [pages; spare] "pressure/pages": Pages of the conflicts of risk pressure.
-- Column stalls [count]: Waits that began in it.
-- Column stalled_ns [ns] "waited": How long they lasted, all together.
WITH numbered AS MATERIALIZED ( -- a number for each run: adding up by it takes less than by a text, and there may be millions of rows
  SELECT _runs.*, source, ts_first, width, row_number() OVER (ORDER BY run) AS number
  FROM _runs
  JOIN _widths USING (trace)
),
met AS (
  SELECT number, (ts - ts_first) // width AS bin, risk, sum(npages) AS pages
  FROM conflicts
  JOIN numbered USING (run)
  GROUP BY ALL
  UNION ALL BY NAME
  SELECT number, (ts - ts_first) // width AS bin, count(*) AS stalls, sum(dur) AS stalled_ns
  FROM stalls
  JOIN numbered USING (run)
  GROUP BY ALL
)
SELECT
  source,
  trace,
  policy,
  settings,
  ts_first + bin * width AS ts,
  bin * width AS after_ns,
  width AS width_ns,
  coalesce(sum(pages) FILTER (risk = 'corruption'), 0)::BIGINT AS at_risk_pages,
  coalesce(sum(pages) FILTER (risk = 'availability'), 0)::BIGINT AS lost_pages,
  coalesce(sum(pages) FILTER (risk = 'pressure'), 0)::BIGINT AS pressure_pages,
  coalesce(sum(stalls), 0)::BIGINT AS stalls,
  coalesce(sum(stalled_ns), 0)::BIGINT AS stalled_ns
FROM met
JOIN numbered USING (number)
GROUP BY source, trace, policy, settings, position, ts_first, bin, width
ORDER BY source, trace, position, policy, settings, bin;
