-- The keywords of the corpus. The table has no dates: a keyword counts as known since its photo was submitted.
-- Views: keywords, photos. Marker: corpus_end.
SELECT photo_id, keyword, MAX(confidence) AS confidence
FROM keywords
WHERE EXISTS (
  SELECT 1
  FROM photos
  WHERE photos.photo_id = keywords.photo_id AND photos.submitted_at < :corpus_end
)
GROUP BY photo_id, keyword
