-- What other rows and the photos say of a photo in a list that was shown.
-- seconds_since_submission: how old the photo was, below zero if it was not there yet.
-- is_repeated_impression: an earlier row says the same of the same photo in the same list; the first stays. A list
-- without an id is told by its time.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: rows, photos (photo_id, submitted_at, is_clean).
SELECT
  rows.unit,
  rows.place,
  rows.line,
  rows.photo_id,
  rows.shown_at,
  CASE WHEN rows.has_proper_photo_id THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  (UNIX_MICROS(rows.shown_at) - UNIX_MICROS(photos.submitted_at)) / 1e6D AS seconds_since_submission,
  rows.visitor_id IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY
      rows.visitor_id,
      COALESCE(rows.query_id, CAST(UNIX_MICROS(rows.shown_at) AS STRING)),
      rows.query_photo_id,
      rows.photo_id,
      rows.position,
      rows.interaction
    ORDER BY rows.unit, rows.place
  ) > 1 AS is_repeated_impression
FROM rows
LEFT JOIN photos ON photos.photo_id = rows.photo_id
WHERE rows.is_readable
