-- The log beside the splits: one row per window, visitor, query, country and photo that either of them has. Derived
-- from the log alone; not shared with the queries that make the splits.
-- log_count, log_at: conversions inside the window of a photo that had been submitted by then, and the first of them.
-- row_count, row_first_at, row_last_at, conversion_count: the rows of the split, their times, the largest count.
-- Views: conversions, photos, split_rows. Markers: train_start, train_end, validation_end, test_end.
WITH both_sides AS (
  SELECT
    CASE
      WHEN conversions.converted_at < :train_end THEN 'train'
      WHEN conversions.converted_at < :validation_end THEN 'validation'
      ELSE 'test'
    END AS split,
    conversions.visitor_id,
    conversions.query,
    conversions.country,
    conversions.photo_id,
    conversions.converted_at AS log_at,
    CAST(NULL AS TIMESTAMP) AS row_at,
    CAST(NULL AS BIGINT) AS conversion_count,
    FALSE AS is_row
  FROM conversions
  LEFT SEMI JOIN photos
    ON photos.photo_id = conversions.photo_id AND photos.submitted_at <= conversions.converted_at
  WHERE conversions.converted_at >= :train_start AND conversions.converted_at < :test_end
  UNION ALL
  SELECT
    split,
    visitor_id,
    query,
    country,
    photo_id,
    CAST(NULL AS TIMESTAMP) AS log_at,
    converted_at AS row_at,
    conversion_count,
    TRUE AS is_row
  FROM split_rows
)
SELECT
  split,
  visitor_id,
  query,
  country,
  photo_id,
  COUNT_IF(NOT is_row) AS log_count,
  MIN(log_at) AS log_at,
  COUNT_IF(is_row) AS row_count,
  MIN(row_at) AS row_first_at,
  MAX(row_at) AS row_last_at,
  MAX(conversion_count) AS conversion_count
FROM both_sides
GROUP BY split, visitor_id, query, country, photo_id
