-- Direct IO that could not drop page cache pages before or after it wrote beneath them, and whether a pin was why.
--
-- Question: How often does direct IO to a file whose pages are pinned fail to invalidate them?
-- Source: Jerome Glisse, 14 Feb 2019: the invalidation fails with a "big error message".
-- Parameter trace VARCHAR = NULL: only this trace.
-- Parameter limit BIGINT = 50: at most so many rows of each trace.
-- Needs iomap:iomap_dio_invalidate_fail: only this event tells of it.
-- Needs pin from gup:pin_user_pages_fast, gup:pin_user_pages: without pins nobody can be named.
-- Tables: pins raw_iomap_iomap_dio_invalidate_fail _tasks _traces
--
-- Column source "trace": The trace's source file.
-- Column file: The file.
-- Column failures [count]: How many times.
-- Column bytes [bytes] "direct IO": Bytes of these operations.
-- Column pinned [count] "with a/pin": Of them those over a range with a live pin.
-- Column holder "held by": Who owns such a pin, as name/thread id; the first by name.
-- Column first_ts [ts] "first at/s": The first one, on the trace's clock.
WITH failures AS (
  SELECT
    source, trace, seq, ts,
    try_cast(dev AS BIGINT) AS dev,
    (dev >> 20) || ':' || (dev & 1048575) || ':' || try_cast(ino AS UBIGINT) AS file,
    try_cast("offset" AS BIGINT) AS first_byte,
    try_cast(length AS BIGINT) AS length
  FROM raw_iomap_iomap_dio_invalidate_fail
  JOIN _traces USING (trace)
),
blamed AS (
  SELECT source, failures.trace, seq, failures.ts, failures.file, length, min(name) AS holder, count(pin) > 0 AS pinned
  FROM failures
  LEFT JOIN pins ON pins.trace = failures.trace AND pins.file = failures.file
    AND coalesce(ts_pin <= failures.ts, true) AND coalesce(ts_unpin > failures.ts, true)
    AND index * 4096 < first_byte + length AND (index + npages) * 4096 > first_byte
  LEFT JOIN _tasks ON _tasks.trace = pins.trace AND _tasks.tid = pins.tid
  GROUP BY ALL
)
SELECT
  source,
  file,
  count(*) AS failures,
  coalesce(sum(length), 0)::BIGINT AS bytes,
  count(*) FILTER (pinned) AS pinned,
  min(holder) AS holder,
  min(ts) AS first_ts
FROM blamed
GROUP BY source, trace, file
QUALIFY row_number() OVER (PARTITION BY trace ORDER BY failures DESC, file) <= coalesce(getvariable('limit')::BIGINT, 50)
ORDER BY source, trace, failures DESC, file;
