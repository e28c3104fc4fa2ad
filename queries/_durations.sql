-- Parameters of runs that are durations, in ns: for what has to be in order, or compared with a wait.
SELECT
  run,
  parameter,
  (
    nullif(regexp_extract(value, '^[0-9.]+'), '')::DECIMAL(28, 9)
    * CASE regexp_extract(value, '[a-z]*$') WHEN 's' THEN 1000000000 WHEN 'ms' THEN 1000000 WHEN 'us' THEN 1000 ELSE 1 END
  )::BIGINT AS ns
FROM (
  SELECT run, parameter, params ->> ('$."' || parameter || '"') AS value
  FROM (SELECT run, params, unnest(json_keys(params)) AS parameter FROM runs)
)
WHERE regexp_full_match(value, '0|[0-9.]+(s|ms|us|ns)')
