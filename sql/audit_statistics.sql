-- Rows whose count is not that of the log inside the split's own window.
-- View: matches, from audit_matches.
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(split, ' row with conversion_count ', COALESCE(CAST(conversion_count AS STRING), 'null')),
    CONCAT('the log has ', log_count),
    visitor_id,
    query,
    country,
    photo_id
  ) AS violation
FROM matches
WHERE row_count > 0 AND log_count > 0 AND NOT conversion_count <=> log_count
