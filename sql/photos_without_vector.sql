-- The photos of the corpus that one encoder has no vector for, each with its reason. unread holds the images that
-- could not be read in this run and are tried again in the next; stored holds those that never will.
-- Views: photos, images, stored (key, vector, reason), unread (key, reason). Marker: encoder.
WITH results AS (
  SELECT key, MAX(has_vector) AS has_vector, MIN(reason) AS reason
  FROM (
    SELECT key, vector IS NOT NULL AS has_vector, reason FROM stored
    UNION ALL
    SELECT key, FALSE AS has_vector, reason FROM unread
  )
  GROUP BY key
),
corpus AS (
  SELECT
    photos.photo_id,
    images.sha256 IS NOT NULL AS has_image,
    CONCAT('no_image: ', COALESCE(images.status, 'unknown'), ' (', COALESCE(images.reason, 'not looked for'), ')')
      AS image_reason,
    SHA2(CONCAT(images.sha256, ':', :encoder), 256) AS key
  FROM photos
  LEFT JOIN images ON images.photo_id = photos.photo_id
)
SELECT
  corpus.photo_id,
  corpus.has_image,
  CASE WHEN corpus.has_image THEN COALESCE(results.reason, 'not_stored') ELSE corpus.image_reason END AS reason
FROM corpus
LEFT JOIN results ON results.key = corpus.key
WHERE NOT COALESCE(results.has_vector, FALSE)
