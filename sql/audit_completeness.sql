-- What the validated tables have and the splits lost, or hold more than once.
-- Views: matches (from audit_matches), split_photos, split_keywords, photos, keywords. Marker: corpus_end.
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
SELECT CONCAT_WS(' | ', 'photo lost from the corpus', photos.photo_id)
FROM photos
LEFT ANTI JOIN split_photos ON split_photos.photo_id = photos.photo_id
WHERE photos.submitted_at < :corpus_end
UNION ALL
SELECT CONCAT_WS(' | ', 'keyword lost from the corpus', keywords.photo_id, keywords.keyword)
FROM keywords
LEFT SEMI JOIN photos ON photos.photo_id = keywords.photo_id AND photos.submitted_at < :corpus_end
LEFT ANTI JOIN split_keywords
  ON split_keywords.photo_id = keywords.photo_id AND split_keywords.keyword = keywords.keyword
