-- Rows of a split whose visitor did not make that conversion (query, country, photo, first time) inside the split's
-- window: taken from another window's history, or from nowhere.
-- View: matches, from audit_matches.
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
