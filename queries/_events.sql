-- The events of the traces that a report is asked about (variable trace, NULL for all): files of other traces are not opened.
SELECT *
FROM events
WHERE getvariable('trace')::VARCHAR IS NULL OR trace = getvariable('trace')::VARCHAR
