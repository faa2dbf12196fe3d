-- How the conversion log lies around the windows: one row per period that has conversions.
-- known_count: conversions of a photo that had been submitted by then; only these can enter a split.
-- Views: conversions, photos. Markers: train_start, train_end, validation_end, test_end.
WITH known_photos AS (
  SELECT photo_id, MIN(submitted_at) AS submitted_at FROM photos GROUP BY photo_id
),
log AS (
  SELECT
    CASE
      WHEN conversions.converted_at < :train_start THEN 'before_train'
      WHEN conversions.converted_at < :train_end THEN 'train'
      WHEN conversions.converted_at < :validation_end THEN 'validation'
      WHEN conversions.converted_at < :test_end THEN 'test'
      ELSE 'after_as_of'
    END AS period,
    conversions.converted_at,
    known_photos.submitted_at <= conversions.converted_at AS is_known
  FROM conversions
  LEFT JOIN known_photos ON known_photos.photo_id = conversions.photo_id
)
SELECT
  period,
  COUNT(*) AS conversion_count,
  COUNT_IF(is_known) AS known_count,
  MIN(converted_at) AS first_at,
  MAX(converted_at) AS last_at
FROM log
GROUP BY period
