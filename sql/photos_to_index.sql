-- The photos of an arm with their vectors and the days since 1970-01-01 on which they were submitted, 0 if not known.
-- Views: embeddings, photos. Markers: arm.
SELECT
  embeddings.photo_id,
  CAST(COALESCE(UNIX_DATE(CAST(photos.submitted_at AS DATE)), 0) AS BIGINT) AS day,
  embeddings.vector
FROM embeddings
LEFT JOIN photos ON photos.photo_id = embeddings.photo_id
WHERE embeddings.arm = :arm
