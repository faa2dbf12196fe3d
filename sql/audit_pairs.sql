-- How often photos were shown and taken in the training window, by query, country and place, by another way than the
-- stage that measures it. Of the rows of one photo in one list, which says its query somewhere, taken is one that any row
-- of the window calls so. A list without an id is told by its time.
-- View: impressions. Markers: train_start, train_end.
SELECT
  query,
  country,
  photo_id,
  position,
  COUNT(*) AS shown_count,
  COUNT_IF(is_taken) AS taken_count
FROM (
  SELECT
    MIN(NULLIF(query, '')) AS query,
    MIN(country) AS country,
    photo_id,
    position,
    BOOL_OR(interaction IN ('click', 'like', 'download')) AS is_taken
  FROM impressions
  WHERE shown_at >= :train_start AND shown_at < :train_end
  GROUP BY visitor_id, query_id, query_photo_id, IF(query_id IS NULL, shown_at, NULL), photo_id, position
)
WHERE query IS NOT NULL
GROUP BY query, country, photo_id, position
