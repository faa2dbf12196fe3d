-- How many of the log's rows, and of the corpus's photos, belong where: what the facts of the splits say.
-- Views: conversions, photos. Markers: train_start, train_end, validation_end, test_end, corpus_end.
SELECT fact, period, COUNT(*) AS row_count
FROM (
  SELECT
    'conversions' AS fact,
    CASE
      WHEN conversions.converted_at < :train_start THEN 'before_train'
      WHEN conversions.converted_at >= :test_end THEN 'after_as_of'
      WHEN NOT COALESCE(photos.submitted_at <= conversions.converted_at, FALSE) THEN 'photo_not_yet_submitted'
      WHEN conversions.converted_at >= :validation_end THEN 'test'
      WHEN conversions.converted_at >= :train_end THEN 'validation'
      ELSE 'train'
    END AS period
  FROM conversions
  LEFT JOIN photos ON photos.photo_id = conversions.photo_id
  UNION ALL
  SELECT
    'photos_by_age' AS fact,
    CASE
      WHEN submitted_at >= :test_end THEN 'after_as_of'
      WHEN submitted_at >= :validation_end THEN 'test'
      WHEN submitted_at >= :train_end THEN 'validation'
      WHEN submitted_at >= :train_start THEN 'train'
      ELSE 'before_train'
    END AS period
  FROM photos
  WHERE submitted_at < :corpus_end
)
GROUP BY fact, period
