-- The rows that the log calls for in every window, by another way than the query that makes the splits: conversions are
-- numbered, and the first of its kind stands for all. A conversion counts only if its photo had been submitted by then.
-- visitor: how many visitors appeared in the log before this one, by the time and the place of their first rows.
-- Views: conversions, photos. Markers: train_start, train_end, validation_end, test_end.
WITH appearances AS (
  SELECT
    visitor_id,
    converted_at,
    source_file,
    source_line,
    ROW_NUMBER() OVER (PARTITION BY visitor_id ORDER BY converted_at, source_file, source_line) AS nth
  FROM conversions
),
visitors AS (
  SELECT visitor_id, CAST(ROW_NUMBER() OVER (ORDER BY converted_at, source_file, source_line) - 1 AS BIGINT) AS visitor
  FROM appearances
  WHERE nth = 1
),
usable AS (
  SELECT
    CASE
      WHEN conversions.converted_at < :train_end THEN 'train'
      WHEN conversions.converted_at < :validation_end THEN 'validation'
      ELSE 'test'
    END AS split,
    conversions.*
  FROM conversions
  LEFT SEMI JOIN photos
    ON photos.photo_id = conversions.photo_id AND photos.submitted_at <= conversions.converted_at
  WHERE conversions.converted_at >= :train_start AND conversions.converted_at < :test_end
),
numbered AS (
  SELECT
    split,
    visitor_id,
    query,
    country,
    photo_id,
    converted_at,
    COUNT(*) OVER (PARTITION BY split, visitor_id, query, country, photo_id) AS conversion_count,
    MAX(weight) OVER (PARTITION BY split, visitor_id, query, country, photo_id) AS weight,
    device_type,
    orientation_filter,
    position,
    ROW_NUMBER() OVER (
      PARTITION BY split, visitor_id, query, country, photo_id
      ORDER BY converted_at, device_type, orientation_filter, position
    ) AS place
  FROM usable
)
SELECT
  split,
  visitor_id,
  visitor,
  query,
  country,
  photo_id,
  converted_at,
  conversion_count,
  weight,
  device_type,
  orientation_filter,
  position
FROM numbered
JOIN visitors USING (visitor_id)
WHERE place = 1
