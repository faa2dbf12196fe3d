-- The photos submitted before corpus_end: the end of the test window, or of time where all photos are candidates.
-- Totals such as views and downloads are left out: they were counted when the data set was dumped, so they know the
-- future of every window.
-- View: photos. Markers: train_end, corpus_end.
SELECT
  photo_id,
  submitted_at,
  COALESCE(NULLIF(TRIM(description), ''), NULLIF(TRIM(ai_description), '')) AS description,
  photographer,
  submitted_at < :train_end AS is_in_train
FROM photos
WHERE submitted_at < :corpus_end
