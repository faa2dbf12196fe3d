-- Terms that training may read from the splits but that were not known before its window ended.
-- Training may read: queries and countries of the train rows; keywords and descriptions of photos with is_in_train.
-- Known: queries and countries of the log inside the training window; keywords and descriptions, which carry no
-- dates, of photos submitted before it ended.
-- Subqueries, not WITH: Spark would compute the cached matches anew inside a common table expression.
-- Views: split_rows, split_photos, split_keywords, photos, keywords, matches (from audit_matches). Marker: train_end.
SELECT CONCAT_WS(' | ', CONCAT(usable.kind, ' unknown in the training window'), usable.term) AS violation
FROM (
  SELECT 'query' AS kind, query AS term FROM split_rows WHERE split = 'train'
  UNION
  SELECT 'country' AS kind, country AS term FROM split_rows WHERE split = 'train'
  UNION
  SELECT 'keyword' AS kind, split_keywords.keyword AS term
  FROM split_keywords
  INNER JOIN split_photos ON split_photos.photo_id = split_keywords.photo_id
  WHERE split_photos.is_in_train
  UNION
  SELECT 'description' AS kind, description AS term
  FROM split_photos
  WHERE is_in_train AND description IS NOT NULL
) AS usable
LEFT ANTI JOIN (
  SELECT 'query' AS kind, query AS term FROM matches WHERE split = 'train' AND log_count > 0
  UNION
  SELECT 'country' AS kind, country AS term FROM matches WHERE split = 'train' AND log_count > 0
  UNION
  SELECT 'keyword' AS kind, keywords.keyword AS term
  FROM keywords
  INNER JOIN photos ON photos.photo_id = keywords.photo_id
  WHERE photos.submitted_at < :train_end
  UNION
  SELECT 'description' AS kind, TRIM(description) AS term FROM photos WHERE submitted_at < :train_end
  UNION
  SELECT 'description' AS kind, TRIM(ai_description) AS term FROM photos WHERE submitted_at < :train_end
) AS known
  ON known.kind = usable.kind AND known.term <=> usable.term
