-- Costs over time as pictures show them: of page and block seconds how many pages or blocks there were, on average, in each interval.
SELECT
  run, metric,
  unit LIKE '% seconds' AS averaged,
  CASE WHEN averaged THEN replace(unit, ' seconds', 's') ELSE unit END AS unit,
  ts, dur,
  CASE WHEN averaged THEN value * 1e9 / nullif(dur, 0) ELSE value END AS value
FROM series
