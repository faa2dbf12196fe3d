-- Conversions as they were read. A country in small letters is repaired: it goes on in capitals.
-- seconds_since_submission: how old the photo was, below zero if it was not there yet.
-- is_in_burst: one of more than :burst_limit conversions that the visitor made in less than a minute.
-- position: the photo's place among the results, from 1. One that is no such number is null and the row goes on;
-- is_position_readable tells that from no value. 3.0 is 3: so tables with gaps are often written.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- weight: what the conversion's type weighs in training, 1 for a type that is not named.
-- Views: records, photos (photo_id, submitted_at, is_clean). Markers: burst_limit, photo_id_pattern, weights (a map).
WITH typed AS (
  SELECT
    records.*,
    converted_at_read AS instant,
    CASE WHEN instant IS NULL OR visitor_id IS NULL THEN record_sha256 ELSE visitor_id END AS burst_key,
    CASE
      WHEN position RLIKE r'\A0*[1-9]\d*(\.0*)?\z' THEN TRY_CAST(SUBSTRING_INDEX(position, '.', 1) AS INT)
    END AS place,
    conversion_country RLIKE r'\A[A-Za-z]{2}\z' AND conversion_country != UPPER(conversion_country) AS is_small
  FROM records
),
spans AS (
  SELECT
    *,
    UNIX_MICROS(
      LEAD(instant, :burst_limit) OVER (PARTITION BY burst_key ORDER BY instant, source_file, source_line)
    ) - UNIX_MICROS(instant) AS span_micros
  FROM typed
)
SELECT
  instant AS converted_at,
  conversion_type,
  COALESCE(:weights[conversion_type], 1D) AS weight,
  query,
  keyword AS query_raw,
  spans.photo_id,
  visitor_id,
  CASE WHEN is_small THEN UPPER(conversion_country) ELSE conversion_country END AS country,
  device_type,
  search_orientation_filter AS orientation_filter,
  search_ordering AS ordering,
  place AS position,
  converted_at AS converted_at_text,
  spans.position AS position_text,
  CASE WHEN spans.converted_at IS NOT NULL THEN instant IS NOT NULL END AS is_time_readable,
  CASE WHEN spans.position IS NOT NULL THEN place IS NOT NULL END AS is_position_readable,
  CASE WHEN spans.photo_id RLIKE :photo_id_pattern THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  (UNIX_MICROS(instant) - UNIX_MICROS(photos.submitted_at)) / 1e6D AS seconds_since_submission,
  COALESCE(
    MIN(span_micros) OVER (
      PARTITION BY burst_key
      ORDER BY instant, source_file, source_line
      ROWS BETWEEN :burst_limit PRECEDING AND CURRENT ROW
    ) < 60000000,
    FALSE
  ) AS is_in_burst,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, has_stray_visitor_id,
  CASE
    WHEN is_small THEN CONCAT(repairs, ARRAY(STRUCT('lowercase_country' AS repair, 'conversion_country' AS column)))
    ELSE repairs
  END AS repairs,
  record, record_sha256
FROM spans
LEFT JOIN photos ON photos.photo_id = spans.photo_id
