-- Photos as they were read, with their types and with what a rule must know beyond one column.
-- A number or flag that cannot be read is null; are_numbers_readable and are_flags_readable tell that from no value.
-- is_repeated_photo_id: an earlier row has the same photo_id; the first stays.
-- View: records.
WITH typed AS (
  SELECT
    *,
    photo_submitted_at AS submitted_at_text,
    photo_submitted_at_read AS submitted_at,
    TRY_CAST(photo_featured AS BOOLEAN) AS is_featured,
    TRY_CAST(photo_width AS INT) AS width,
    TRY_CAST(photo_height AS INT) AS height,
    TRY_CAST(stats_views AS BIGINT) AS views,
    TRY_CAST(stats_downloads AS BIGINT) AS downloads
  FROM records
)
SELECT
  photo_id,
  photo_image_url AS image_url,
  submitted_at,
  is_featured,
  width,
  height,
  photo_description AS description,
  ai_description,
  COALESCE(
    photographer_username, NULLIF(CONCAT_WS(' ', photographer_first_name, photographer_last_name), '')
  ) AS photographer,
  photo_location_country AS country,
  views AS stats_views,
  downloads AS stats_downloads,
  blur_hash,
  submitted_at_text,
  CASE WHEN submitted_at_text IS NOT NULL THEN submitted_at IS NOT NULL END AS is_time_readable,
  (photo_featured IS NULL OR is_featured IS NOT NULL) AS are_flags_readable,
  (photo_width IS NULL OR width IS NOT NULL)
  AND (photo_height IS NULL OR height IS NOT NULL)
  AND (typed.stats_views IS NULL OR views IS NOT NULL)
  AND (typed.stats_downloads IS NULL OR downloads IS NOT NULL) AS are_numbers_readable,
  photo_id IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY COALESCE(photo_id, record_sha256) ORDER BY source_file, source_line
  ) > 1 AS is_repeated_photo_id,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, repairs, record,
  record_sha256
FROM typed
