-- What the validated tables have and the splits lost, or hold more than once.
-- Views: split_rows, split_photos, split_keywords, log_events, photos, keywords. Marker: test_end.
WITH known_photos AS (
  SELECT photo_id FROM photos WHERE submitted_at < :test_end
)
SELECT
  CONCAT_WS(
    ' | ', CONCAT('conversion lost from ', events.split), events.visitor_id, events.query, events.country, events.photo_id
  ) AS violation
FROM (SELECT DISTINCT split, visitor_id, query, country, photo_id FROM log_events) AS events
LEFT ANTI JOIN split_rows
  ON
    split_rows.split = events.split
    AND split_rows.visitor_id <=> events.visitor_id
    AND split_rows.query <=> events.query
    AND split_rows.country <=> events.country
    AND split_rows.photo_id <=> events.photo_id
UNION ALL
SELECT CONCAT_WS(' | ', CONCAT('more than one row in ', split), visitor_id, query, country, photo_id)
FROM split_rows
GROUP BY split, visitor_id, query, country, photo_id
HAVING COUNT(*) > 1
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
