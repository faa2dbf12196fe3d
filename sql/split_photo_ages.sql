-- The photos of the corpus by the window in which they were submitted.
-- View: photos. Markers: train_start, train_end, validation_end, test_end, corpus_end.
SELECT
  CASE
    WHEN submitted_at < :train_start THEN 'before_train'
    WHEN submitted_at < :train_end THEN 'train'
    WHEN submitted_at < :validation_end THEN 'validation'
    WHEN submitted_at < :test_end THEN 'test'
    ELSE 'after_as_of'
  END AS period,
  COUNT(*) AS photo_count
FROM photos
WHERE submitted_at < :corpus_end
GROUP BY period
