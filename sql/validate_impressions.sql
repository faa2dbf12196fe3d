-- Photos in lists that were shown, as they were read. No interaction at all is the interaction 'shown'; a country in
-- small letters is repaired.
-- position: the place in the list, from 1; 3.0 is 3. is_position_readable tells what is no such number from no value,
-- is_dwell_readable likewise.
-- is_asked: the row says which list it is of, by the id of a search or by the photo that was asked with.
-- is_repeated_impression: an earlier row says the same of the same photo in the same list; the first stays.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: records, photos (photo_id, submitted_at, is_clean). Marker: photo_id_pattern.
WITH typed AS (
  SELECT
    records.*,
    shown_at_read AS instant,
    CASE
      WHEN position RLIKE r'\A0*[1-9]\d*(\.0*)?\z' THEN TRY_CAST(SUBSTRING_INDEX(position, '.', 1) AS INT)
    END AS place,
    TRY_CAST(dwell_seconds AS DOUBLE) AS dwell,
    COALESCE(interaction, 'shown') AS done,
    country RLIKE r'\A[A-Za-z]{2}\z' AND country != UPPER(country) AS is_small
  FROM records
)
SELECT
  instant AS shown_at,
  visitor_id,
  query_id,
  query,
  keyword AS query_raw,
  query_photo_id,
  typed.photo_id,
  place AS position,
  done AS interaction,
  CASE WHEN is_small THEN UPPER(country) ELSE country END AS country,
  arm,
  dwell AS dwell_seconds,
  shown_at AS shown_at_text,
  position AS position_text,
  CASE WHEN typed.shown_at IS NOT NULL THEN instant IS NOT NULL END AS is_time_readable,
  CASE WHEN typed.position IS NOT NULL THEN place IS NOT NULL END AS is_position_readable,
  CASE WHEN typed.dwell_seconds IS NOT NULL THEN dwell IS NOT NULL END AS is_dwell_readable,
  query_id IS NOT NULL OR query_photo_id IS NOT NULL AS is_asked,
  CASE WHEN typed.photo_id RLIKE :photo_id_pattern THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  (UNIX_MICROS(instant) - UNIX_MICROS(photos.submitted_at)) / 1e6D AS seconds_since_submission,
  ROW_NUMBER() OVER (
    PARTITION BY
      COALESCE(visitor_id, record_sha256),
      COALESCE(query_id, shown_at),
      query_photo_id,
      typed.photo_id,
      place,
      done
    ORDER BY source_file, source_line
  ) > 1 AS is_repeated_impression,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, has_stray_visitor_id,
  CASE
    WHEN is_small THEN CONCAT(repairs, ARRAY(STRUCT('lowercase_country' AS repair, 'country' AS column)))
    ELSE repairs
  END AS repairs,
  record, record_sha256
FROM typed
LEFT JOIN photos ON photos.photo_id = typed.photo_id
