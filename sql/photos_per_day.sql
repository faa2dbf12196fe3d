-- How many photos of an arm were submitted on each day since 1970-01-01; those whose day is not known count as of day 0.
-- Views: embeddings, photos. Markers: arm. Sorted and merged, see photos_with_days.
SELECT /*+ MERGE(photos) */
  COALESCE(UNIX_DATE(CAST(photos.submitted_at AS DATE)), 0) AS day,
  COUNT(*) AS photo_count
FROM embeddings
LEFT JOIN photos ON photos.photo_id = embeddings.photo_id
WHERE embeddings.arm = :arm
GROUP BY 1
