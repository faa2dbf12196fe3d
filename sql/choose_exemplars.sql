-- Photos with keywords beside the stored features of their pictures: of all of them a sample, in the order of a digest
-- of the id, so that nights share most of it and a larger sample holds a smaller one.
-- Views: photos, images, photo_keywords, stored (key, vector). Markers: encoder, exemplar_count.
WITH chosen AS (
  SELECT photos.photo_id, SHA2(CONCAT(images.sha256, ':', :encoder), 256) AS key
  FROM photos
  JOIN images ON images.photo_id = photos.photo_id
  WHERE
    images.sha256 IS NOT NULL
    AND photos.photo_id IN (SELECT photo_id FROM photo_keywords)
  ORDER BY SHA2(photos.photo_id, 256), photos.photo_id
  LIMIT :exemplar_count
),
features AS ( -- two runs at the same time may both have stored a key
  SELECT /*+ BROADCAST(chosen) */ chosen.photo_id, MIN(stored.vector) AS vector
  FROM stored
  JOIN chosen ON chosen.key = stored.key
  WHERE stored.vector IS NOT NULL
  GROUP BY chosen.photo_id
)
SELECT
  features.photo_id,
  FIRST(features.vector) AS vector,
  SORT_ARRAY(COLLECT_LIST(NAMED_STRUCT('keyword', keyword, 'confidence', confidence))) AS keywords
FROM features
JOIN photo_keywords ON photo_keywords.photo_id = features.photo_id
GROUP BY features.photo_id
