-- What other rows say of a photo that no search may show. is_repeated_rule: an earlier row hides the same photo from the
-- same country; the first stays. A photo that is hidden and gone from photos is no fault: an index may still have it.
-- View: rows.
SELECT
  unit,
  place,
  line,
  photo_id,
  photo_id IS NOT NULL
  AND ROW_NUMBER() OVER (PARTITION BY photo_id, country ORDER BY unit, place) > 1 AS is_repeated_rule
FROM rows
WHERE is_readable
