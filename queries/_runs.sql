-- The runs that a report is asked about (variables trace and policy, each NULL for all), labelled.
SELECT run, policy, trace, position, settings
FROM _labels
WHERE (getvariable('trace')::VARCHAR IS NULL OR trace = getvariable('trace')::VARCHAR)
  AND (getvariable('policy')::VARCHAR IS NULL OR policy = getvariable('policy')::VARCHAR)
