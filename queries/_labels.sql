-- Runs with their place in the order of policies, and the parameters that differ from the defaults.
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
    SELECT run, unnest(json_keys(params)) AS key, params ->> ('$."' || key || '"') AS value
    FROM runs
  )
  LEFT JOIN parameters ON parameter = key
  WHERE value IS DISTINCT FROM default_value
  GROUP BY run
) USING (run)
