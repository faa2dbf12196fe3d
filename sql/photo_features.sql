-- The stored image features of every photo of the corpus beside its keywords, cut into parts in the order of photo_id
-- that do not depend on how the data lie.
-- Views: photos, images, photo_keywords, stored (key, vector). Markers: encoder, part_size.
WITH corpus AS (
  SELECT
    photos.photo_id,
    SHA2(CONCAT(images.sha256, ':', :encoder), 256) AS key,
    CAST((ROW_NUMBER() OVER (ORDER BY photos.photo_id) - 1) DIV :part_size AS INT) AS part
  FROM photos
  JOIN images ON images.photo_id = photos.photo_id
  WHERE images.sha256 IS NOT NULL
),
features AS ( -- two runs at the same time may both have stored a key
  SELECT key, MIN(vector) AS vector
  FROM stored
  WHERE vector IS NOT NULL
  GROUP BY key
),
keyword_lists AS (
  SELECT photo_id, SORT_ARRAY(COLLECT_LIST(NAMED_STRUCT('keyword', keyword, 'confidence', confidence))) AS keywords
  FROM photo_keywords
  GROUP BY photo_id
)
SELECT corpus.part, corpus.photo_id, features.vector, keyword_lists.keywords
FROM corpus
JOIN features ON features.key = corpus.key
LEFT JOIN keyword_lists ON keyword_lists.photo_id = corpus.photo_id
