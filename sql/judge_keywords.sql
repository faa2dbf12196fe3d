-- What other rows say of a keyword's row. is_repeated_keyword: the photo has this keyword, in its normal form, with a
-- higher confidence or further up.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: rows, photos (photo_id, submitted_at, is_clean).
SELECT
  rows.unit,
  rows.place,
  rows.line,
  rows.photo_id,
  CASE WHEN rows.has_proper_photo_id THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  rows.keyword IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY rows.photo_id, rows.keyword ORDER BY rows.confidence DESC, rows.unit, rows.place
  ) > 1 AS is_repeated_keyword
FROM rows
LEFT JOIN photos ON photos.photo_id = rows.photo_id
WHERE rows.is_readable
