-- Runs with their place in the order of policies, and the parameters that differ from the defaults; where one name stands
-- for several policies, since a user changed it between runs, or for several versions of the engine, also in what they differ.
WITH decided AS (
  SELECT run, policy, unnest(json_keys(decisions)) AS key, decisions ->> ('$."' || key || '"') AS value
  FROM runs
  UNION ALL
  SELECT run, policy, 'engine', engine
  FROM runs
)
SELECT
  run,
  runs.policy,
  trace,
  -- Several policies joined by + come after the first of them, a user's own come last.
  coalesce(position, 1000) AS position,
  coalesce(settings, '') AS settings
FROM runs
LEFT JOIN policies ON policies.policy = split_part(runs.policy, '+', 1)
LEFT JOIN (
  SELECT run, string_agg(key || '=' || value, ' ' ORDER BY key) AS settings
  FROM (
    SELECT run, key, value
    FROM (
      SELECT run, unnest(json_keys(params)) AS key, params ->> ('$."' || key || '"') AS value
      FROM runs
    )
    LEFT JOIN parameters ON parameter = key
    WHERE value IS DISTINCT FROM default_value
    UNION ALL
    SELECT run, key, value
    FROM decided
    JOIN (SELECT policy, key FROM decided GROUP BY ALL HAVING count(DISTINCT value) > 1) USING (policy, key)
  )
  GROUP BY run
) USING (run)
