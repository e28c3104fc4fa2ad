-- Pages that pins hold, as recorded: a row for each time at which their number changes. A release may let go of a pin in parts. Pins
-- whose release the trace does not show end with their process, unless a child that was forked since may hold the file.
WITH parts AS (
  SELECT events.trace, events.pin, events.ts, events.npages
  FROM events
  JOIN pins ON pins.trace = events.trace AND pins.pin = events.pin
  WHERE op = 'unpin' AND events.npages < pins.npages AND coalesce(events.ts < ts_unpin, true)
),
parted AS (
  SELECT trace, pin, sum(npages) AS npages FROM parts GROUP BY trace, pin
),
held AS ( -- pins of an events.jsonl need not tell of how many pages
  SELECT pins.trace, pin, process, ts_pin, ts_unpin, npages
  FROM pins
  LEFT JOIN _tasks ON _tasks.trace = pins.trace AND _tasks.tid = pins.tid
  WHERE npages IS NOT NULL
),
exits AS ( -- a process ends with its last event, if that is an exit
  SELECT trace, process, max(ts) AS ts, max(ts) FILTER (op = 'fork') AS ts_fork
  FROM events
  JOIN _tasks USING (trace, tid)
  WHERE (trace, process) IN (SELECT (trace, process) FROM held WHERE ts_unpin IS NULL)
  GROUP BY trace, process
  HAVING max(seq) = max(seq) FILTER (op = 'exit')
),
steps AS (
  SELECT trace, coalesce(ts_pin, ts_first) AS ts, npages FROM held JOIN traces USING (trace)
  UNION ALL
  SELECT trace, ts, -npages FROM parts
  UNION ALL
  SELECT held.trace, coalesce(ts_unpin, exits.ts), coalesce(parted.npages, 0) - held.npages
  FROM held
  LEFT JOIN parted USING (trace, pin)
  LEFT JOIN exits ON exits.trace = held.trace AND exits.process = held.process
    AND ts_unpin IS NULL AND NOT coalesce(ts_fork > ts_pin, ts_fork IS NOT NULL)
  WHERE coalesce(ts_unpin, exits.ts) IS NOT NULL
)
SELECT trace, ts, CAST(sum(sum(npages)) OVER (PARTITION BY trace ORDER BY ts) AS BIGINT) AS pages
FROM steps
GROUP BY trace, ts
