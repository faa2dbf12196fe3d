-- Rows of a split whose visitor did not make that conversion (query, country, photo, first time) inside the split's
-- window: taken from another window's history, or from nowhere. And rows whose device, orientation filter or position
-- none of the conversions has that the visitor made at the row's instant: taken from a later one, or made up.
-- Views: matches (from audit_matches), split_rows, conversions.
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(
      split,
      ' row ',
      IF(log_count = 0, 'that the log of its window does not have', CONCAT('that the log first has at ', log_at))
    ),
    visitor_id,
    query,
    country,
    photo_id,
    row_last_at
  ) AS violation
FROM matches
WHERE row_count > 0 AND (NOT row_first_at <=> log_at OR NOT row_last_at <=> log_at)
UNION ALL
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(split_rows.split, ' row with the device, filter or position of another conversion'),
    split_rows.visitor_id,
    split_rows.query,
    split_rows.country,
    split_rows.photo_id,
    split_rows.converted_at
  ) AS violation
FROM split_rows
INNER JOIN conversions
  ON
    conversions.visitor_id = split_rows.visitor_id
    AND conversions.query = split_rows.query
    AND conversions.country <=> split_rows.country
    AND conversions.photo_id = split_rows.photo_id
    AND conversions.converted_at = split_rows.converted_at
GROUP BY
  split_rows.split,
  split_rows.visitor_id,
  split_rows.query,
  split_rows.country,
  split_rows.photo_id,
  split_rows.converted_at
HAVING
  NOT BOOL_OR(
    conversions.device_type <=> split_rows.device_type
    AND conversions.orientation_filter <=> split_rows.orientation_filter
    AND conversions.position <=> split_rows.position
  )
