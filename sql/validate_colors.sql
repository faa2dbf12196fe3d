-- Main colors of photos as they were read.
-- is_repeated_color: an earlier row has the same photo_id and hex; the first stays.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: records, photos (photo_id, submitted_at, is_clean). Marker: photo_id_pattern.
WITH typed AS (
  SELECT
    records.*,
    TRY_CAST(red AS INT) AS red_value,
    TRY_CAST(green AS INT) AS green_value,
    TRY_CAST(blue AS INT) AS blue_value,
    TRY_CAST(coverage AS DOUBLE) AS coverage_value,
    TRY_CAST(score AS DOUBLE) AS score_value
  FROM records
)
SELECT
  typed.photo_id,
  hex,
  red_value AS red,
  green_value AS green,
  blue_value AS blue,
  keyword,
  coverage_value AS coverage,
  score_value AS score,
  (typed.red IS NULL OR red_value IS NOT NULL)
  AND (typed.green IS NULL OR green_value IS NOT NULL)
  AND (typed.blue IS NULL OR blue_value IS NOT NULL)
  AND (typed.coverage IS NULL OR coverage_value IS NOT NULL)
  AND (typed.score IS NULL OR score_value IS NOT NULL) AS are_numbers_readable,
  LEAST(red_value, green_value, blue_value) AS darkest_channel,
  GREATEST(red_value, green_value, blue_value) AS brightest_channel,
  CASE WHEN typed.photo_id RLIKE :photo_id_pattern THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  hex IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY typed.photo_id, COALESCE(UPPER(hex), record_sha256) ORDER BY source_file, source_line
  ) > 1 AS is_repeated_color,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, repairs, record,
  record_sha256
FROM typed
LEFT JOIN photos ON photos.photo_id = typed.photo_id
