-- Where a log is cut by number: the conversions before as_of whose photo had been submitted by then, n in all, in the
-- order of time. One row. The test begins at the instant of the row at position floor(0.8 n), counted from 0, and
-- validation at that of the row at floor((0.8 - validation_share) n). Rows of one instant are never parted: all of
-- them fall behind the cut. train_start is the instant of the log's first row, usable or not.
-- Instants are microseconds since 1970; null where there is no usable row.
-- Positions are counted day by day, so that no task has to sort the whole log.
-- Views: conversions, photos. Markers: as_of, validation_share.
WITH usable AS (
  SELECT converted_at, CAST(converted_at AS DATE) AS day
  FROM conversions
  WHERE
    converted_at < :as_of
    AND EXISTS (
      SELECT 1
      FROM photos
      WHERE photos.photo_id = conversions.photo_id AND photos.submitted_at <= conversions.converted_at
    )
),
days AS (
  SELECT
    day,
    SUM(COUNT(*)) OVER (ORDER BY day) - COUNT(*) AS count_before,
    SUM(COUNT(*)) OVER () AS total
  FROM usable
  GROUP BY day
),
ranked AS (
  SELECT
    usable.converted_at,
    days.count_before + ROW_NUMBER() OVER (PARTITION BY usable.day ORDER BY usable.converted_at) - 1 AS position,
    -- decimals: 0.8 - 0.1 is not 0.7 in binary
    FLOOR((0.8 - CAST(:validation_share AS DECIMAL(10, 9))) * days.total) AS train_count,
    FLOOR(0.8 * days.total) AS known_count
  FROM usable
  INNER JOIN days ON days.day = usable.day
)
SELECT
  COUNT(*) AS conversion_count,
  UNIX_MICROS((SELECT MIN(converted_at) FROM conversions)) AS train_start,
  UNIX_MICROS(MIN(CASE WHEN position = train_count THEN converted_at END)) AS train_end,
  UNIX_MICROS(MIN(CASE WHEN position = known_count THEN converted_at END)) AS validation_end
FROM ranked
