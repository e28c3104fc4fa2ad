-- How long memory regions live, and how long they lie idle before they go.
--
-- Question: Are pins kept for minutes, hours or days after they were last used?
-- Source: Ira Weiny's notes to his series of 2019: pins are used "minutes or hours after the pin", "or even days".
-- Parameter trace VARCHAR = NULL: only this trace.
-- Needs mr_reg from gup:ib_umem_get: only registrations live long.
-- Needs remote_write|remote_read from gup:rxe_mr_copy: use by the device; real hardware shows none, soft-RoCE does.
-- Tables: _events mrs _traces
--
-- Column source "trace": The trace's source file.
-- Column life: How long the memory regions lived within the trace.
-- Column mrs [count] "MRs": How many.
-- Column alive [count] "still/alive": Of them those that the end of the trace cut short.
-- Column bytes [bytes] "memory": Their size.
-- Column unused [count] "never/used": MRs without any remote access in the trace.
-- Column median_idle_ns [ns] "idle/median": From the last remote access to the release or the end of the trace: half no longer.
-- Column longest_idle_ns [ns] "idle/longest": The longest of these times.
-- Column idle_share [percent] "idle/of life": Their sum, of the sum of the lives of the MRs that were used.
WITH used AS (
  SELECT trace, mr, max(ts) AS last_ts FROM _events AS events WHERE op IN ('remote_write', 'remote_read') AND mr IS NOT NULL GROUP BY ALL
),
lives AS (
  SELECT
    source, trace, bytes, ts_dereg IS NULL AS alive,
    coalesce(ts_dereg, ts_last) - coalesce(ts_reg, ts_first) AS life_ns,
    CASE WHEN last_ts IS NOT NULL THEN greatest(coalesce(ts_dereg, ts_last) - last_ts, 0) END AS idle_ns
  FROM mrs
  JOIN _traces USING (trace)
  LEFT JOIN used USING (trace, mr)
  WHERE coalesce(result, 0) >= 0
),
decades(place, life, from_ns) AS (
  VALUES (0, 'under 1 ms', -1), (1, '1 to 10 ms', 1e6), (2, '10 to 100 ms', 1e7), (3, '0.1 to 1 s', 1e8), (4, '1 to 10 s', 1e9),
    (5, '10 s to 1 min', 1e10), (6, '1 min to 1 h', 6e10), (7, '1 h to 1 day', 3.6e12), (8, 'over 1 day', 8.64e13)
)
SELECT
  source,
  life,
  count(*) AS mrs,
  count(*) FILTER (alive) AS alive,
  sum(bytes)::BIGINT AS bytes,
  count(*) FILTER (idle_ns IS NULL) AS unused,
  quantile_disc(idle_ns, 0.5) AS median_idle_ns,
  max(idle_ns) AS longest_idle_ns,
  sum(idle_ns) / nullif(sum(life_ns) FILTER (idle_ns IS NOT NULL), 0) AS idle_share
FROM lives
ASOF JOIN decades ON life_ns >= from_ns
GROUP BY source, trace, place, life
ORDER BY source, trace, place;
