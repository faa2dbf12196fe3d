-- The photos that the corpus is to hold, by another way than the query that makes it.
-- View: photos. Markers: train_end, corpus_end.
SELECT
  photo_id,
  submitted_at,
  CASE
    WHEN TRIM(description) <> '' THEN TRIM(description)
    WHEN TRIM(ai_description) <> '' THEN TRIM(ai_description)
  END AS description,
  photographer,
  NOT submitted_at >= :train_end AS is_in_train
FROM photos
WHERE NOT submitted_at >= :corpus_end
