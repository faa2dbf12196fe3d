-- Rows of a split whose conversion, told by visitor, query, country, photo and time, the log does not have inside
-- that split's window: taken from another window's history, or from nowhere.
-- Views: split_rows, log_events.
WITH events AS (
  SELECT DISTINCT split, visitor_id, query, country, photo_id, converted_at FROM log_events
)
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(split_rows.split, ' row that is ', COALESCE(CONCAT('of the ', events.split, ' window'), 'not in the log')),
    split_rows.visitor_id,
    split_rows.query,
    split_rows.country,
    split_rows.photo_id,
    split_rows.converted_at
  ) AS violation
FROM split_rows
LEFT JOIN events
  ON
    events.visitor_id <=> split_rows.visitor_id
    AND events.query <=> split_rows.query
    AND events.country <=> split_rows.country
    AND events.photo_id <=> split_rows.photo_id
    AND events.converted_at <=> split_rows.converted_at
WHERE NOT events.split <=> split_rows.split
