-- Photos that no search may show, as they were read: from one country, or from anywhere where country is null.
-- A country that cannot be read hides the photo everywhere: shown by mistake is worse than hidden by mistake.
-- is_repeated_rule: an earlier row hides the same photo from the same country; the first stays.
-- A photo that is hidden and gone from photos is no fault: an index may still have it.
-- Views: records.
WITH typed AS (
  SELECT
    records.*,
    CASE WHEN country RLIKE r'\A[A-Za-z]{2}\z' THEN UPPER(country) END AS hidden_from
  FROM records
)
SELECT
  photo_id,
  hidden_from AS country,
  reason,
  typed.country IS NULL OR hidden_from IS NOT NULL AS is_country_readable,
  ROW_NUMBER() OVER (
    PARTITION BY COALESCE(photo_id, record_sha256), hidden_from ORDER BY source_file, source_line
  ) > 1 AS is_repeated_rule,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, repairs, record,
  record_sha256
FROM typed
