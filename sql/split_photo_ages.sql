-- The photos of the corpus by the window in which they were submitted.
-- View: photos. Markers: train_start, train_end, validation_end, test_end.
SELECT
  CASE
    WHEN submitted_at < :train_start THEN 'before_train'
    WHEN submitted_at < :train_end THEN 'train'
    WHEN submitted_at < :validation_end THEN 'validation'
    ELSE 'test'
  END AS period,
  COUNT(*) AS photo_count
FROM photos
WHERE submitted_at < :test_end
GROUP BY period
