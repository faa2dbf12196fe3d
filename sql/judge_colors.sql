-- What other rows say of a color. is_repeated_color: an earlier row has the same photo_id and hex, a or A; the first
-- stays. The letters are named, as engines turn others than these into capitals in ways of their own.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: rows, photos (photo_id, submitted_at, is_clean).
SELECT
  rows.unit,
  rows.place,
  rows.line,
  rows.photo_id,
  CASE WHEN rows.has_proper_photo_id THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  rows.hex IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY rows.photo_id, TRANSLATE(rows.hex, 'abcdef', 'ABCDEF') ORDER BY rows.unit, rows.place
  ) > 1 AS is_repeated_color
FROM rows
LEFT JOIN photos ON photos.photo_id = rows.photo_id
WHERE rows.is_readable
