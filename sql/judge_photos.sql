-- What other rows say of a photo's row. is_repeated_photo_id: an earlier row has the same photo_id; the first stays.
-- View: rows.
SELECT
  unit,
  place,
  line,
  photo_id,
  submitted_at,
  photo_id IS NOT NULL
  AND ROW_NUMBER() OVER (PARTITION BY photo_id ORDER BY unit, place) > 1 AS is_repeated_photo_id
FROM rows
WHERE is_readable
