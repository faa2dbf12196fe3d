-- What the validated tables have and the splits lost, or hold more than once.
-- Views: matches (from audit_matches), split_photos, split_keywords, photos, keywords. Marker: test_end.
WITH known_photos AS (
  SELECT photo_id FROM photos WHERE submitted_at < :test_end
)
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(IF(row_count = 0, 'conversion lost from ', 'more than one row in '), split),
    visitor_id,
    query,
    country,
    photo_id
  ) AS violation
FROM matches
WHERE row_count > 1 OR (log_count > 0 AND row_count = 0)
UNION ALL
SELECT CONCAT_WS(' | ', 'photo lost from the corpus', known_photos.photo_id)
FROM known_photos
LEFT ANTI JOIN split_photos ON split_photos.photo_id = known_photos.photo_id
UNION ALL
SELECT CONCAT_WS(' | ', 'keyword lost from the corpus', keywords.photo_id, keywords.keyword)
FROM keywords
LEFT SEMI JOIN known_photos ON known_photos.photo_id = keywords.photo_id
LEFT ANTI JOIN split_keywords
  ON split_keywords.photo_id = keywords.photo_id AND split_keywords.keyword = keywords.keyword
