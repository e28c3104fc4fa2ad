-- The traces that a report is asked about (variable trace, NULL for all).
SELECT trace, source, ts_first, ts_last, ts_last - ts_first AS span
FROM traces
WHERE getvariable('trace')::VARCHAR IS NULL OR trace = getvariable('trace')::VARCHAR
