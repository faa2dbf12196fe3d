-- The images of the corpus that one encoder has not embedded yet, each content once, cut into parts in the order of
-- their keys. Parts are stored whole or not at all, so after a broken run the rest is cut at the same places.
-- Views: photos, images, stored (key). Markers: encoder, part_size.
WITH wanted AS (
  SELECT
    SHA2(CONCAT(images.sha256, ':', :encoder), 256) AS key,
    MIN(images.uri) AS uri,
    MIN(images.sha256) AS sha256
  FROM photos
  JOIN images ON images.photo_id = photos.photo_id
  WHERE images.sha256 IS NOT NULL
  GROUP BY 1
),
missing AS (
  SELECT wanted.key, wanted.uri, wanted.sha256
  FROM wanted
  LEFT ANTI JOIN stored ON stored.key = wanted.key
)
SELECT
  CAST((ROW_NUMBER() OVER (ORDER BY key) - 1) DIV :part_size AS INT) AS part,
  key,
  uri,
  sha256
FROM missing
