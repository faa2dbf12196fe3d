-- Where a log is cut by number, found another way than by the query that makes the splits: a cut after k rows is the
-- earliest instant up to and including which there are more than k. One row; instants are microseconds since 1970.
-- Rows are those before as_of whose photo had been submitted by then.
-- Views: conversions, photos. Markers: as_of, validation_share.
WITH instants AS (
  SELECT
    conversions.converted_at,
    SUM(COUNT(*)) OVER (ORDER BY conversions.converted_at) AS count_up_to,
    SUM(COUNT(*)) OVER () AS total
  FROM conversions
  LEFT SEMI JOIN photos
    ON photos.photo_id = conversions.photo_id AND photos.submitted_at <= conversions.converted_at
  WHERE conversions.converted_at < :as_of
  GROUP BY conversions.converted_at
)
SELECT
  UNIX_MICROS((SELECT MIN(converted_at) FROM conversions)) AS train_start,
  UNIX_MICROS(
    MIN(converted_at) FILTER (WHERE count_up_to > FLOOR(total * (0.8 - CAST(:validation_share AS DECIMAL(10, 9)))))
  ) AS train_end,
  UNIX_MICROS(MIN(converted_at) FILTER (WHERE count_up_to > FLOOR(total * 0.8))) AS validation_end
FROM instants
