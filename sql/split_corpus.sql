-- The photos that existed at the end of the test window (test_end). Totals such as views and downloads are left
-- out: they were counted when the data set was dumped, so they know the future of every window.
-- View: photos. Markers: train_end, test_end.
SELECT
  photo_id,
  submitted_at,
  COALESCE(NULLIF(TRIM(description), ''), NULLIF(TRIM(ai_description), '')) AS description,
  photographer,
  submitted_at < :train_end AS is_in_train
FROM photos
WHERE submitted_at < :test_end
