-- Rows whose count or first time is not that of the log inside the split's own window.
-- Views: split_rows, log_events.
WITH derived AS (
  SELECT
    split,
    visitor_id,
    query,
    country,
    photo_id,
    MIN(converted_at) AS converted_at,
    COUNT(*) AS conversion_count
  FROM log_events
  GROUP BY split, visitor_id, query, country, photo_id
)
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(split_rows.split, ' row with conversion_count ', COALESCE(split_rows.conversion_count, 'null')),
    CONCAT('the log has ', derived.conversion_count, ' from ', derived.converted_at),
    split_rows.visitor_id,
    split_rows.query,
    split_rows.country,
    split_rows.photo_id,
    split_rows.converted_at
  ) AS violation
FROM split_rows
INNER JOIN derived
  ON
    derived.split = split_rows.split
    AND derived.visitor_id <=> split_rows.visitor_id
    AND derived.query <=> split_rows.query
    AND derived.country <=> split_rows.country
    AND derived.photo_id <=> split_rows.photo_id
WHERE
  NOT derived.conversion_count <=> split_rows.conversion_count
  OR NOT derived.converted_at <=> split_rows.converted_at
