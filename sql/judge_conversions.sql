-- What other rows and the photos say of a conversion.
-- seconds_since_submission: how old the photo was, below zero if it was not there yet.
-- is_in_burst: one of more than :burst_limit conversions that the visitor made in less than a minute. Only visitors with
-- more conversions than that in all are looked at.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: rows, photos (photo_id, submitted_at, is_clean). Marker: burst_limit.
WITH busy AS (
  SELECT visitor_id FROM rows WHERE converted_at IS NOT NULL GROUP BY visitor_id HAVING COUNT(*) > :burst_limit
),
spans AS (
  SELECT
    rows.unit,
    rows.place,
    rows.visitor_id,
    rows.converted_at,
    UNIX_MICROS(
      LEAD(rows.converted_at, :burst_limit) OVER (
        PARTITION BY rows.visitor_id ORDER BY rows.converted_at, rows.unit, rows.place
      )
    ) - UNIX_MICROS(rows.converted_at) AS span_micros
  FROM rows
  JOIN busy ON busy.visitor_id = rows.visitor_id
  WHERE rows.converted_at IS NOT NULL
),
bursts AS (
  SELECT
    unit,
    place,
    MIN(span_micros) OVER (
      PARTITION BY visitor_id
      ORDER BY converted_at, unit, place
      ROWS BETWEEN :burst_limit PRECEDING AND CURRENT ROW
    ) < 60000000 AS is_in_burst
  FROM spans
)
SELECT
  rows.unit,
  rows.place,
  rows.line,
  rows.photo_id,
  rows.converted_at,
  CASE WHEN rows.has_proper_photo_id THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  (UNIX_MICROS(rows.converted_at) - UNIX_MICROS(photos.submitted_at)) / 1e6D AS seconds_since_submission,
  COALESCE(bursts.is_in_burst, FALSE) AS is_in_burst
FROM rows
LEFT JOIN photos ON photos.photo_id = rows.photo_id
LEFT JOIN bursts ON bursts.unit = rows.unit AND bursts.place = rows.place
WHERE rows.is_readable
