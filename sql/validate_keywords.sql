-- Keywords as they were read. confidence: 1.0 where a user suggested the keyword, else the strongest of the two
-- services / 100; 0.5 where neither gave a number (the third service gives none).
-- is_repeated_keyword: the photo has this keyword, in its normal form, with a higher confidence or further up.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: records, photos (photo_id, submitted_at, is_clean). Marker: photo_id_pattern.
WITH typed AS (
  SELECT
    records.*,
    TRY_CAST(ai_service_1_confidence AS DOUBLE) AS confidence_1,
    TRY_CAST(ai_service_2_confidence AS DOUBLE) AS confidence_2,
    TRY_CAST(suggested_by_user AS BOOLEAN) AS is_suggested
  FROM records
),
scored AS (
  SELECT
    *,
    CASE WHEN is_suggested THEN 1.0D ELSE COALESCE(GREATEST(confidence_1, confidence_2) / 100, 0.5D) END AS confidence
  FROM typed
)
SELECT
  scored.photo_id,
  normal_keyword AS keyword,
  keyword AS keyword_raw,
  confidence,
  COALESCE(is_suggested, FALSE) AS is_suggested_by_user,
  LEAST(confidence_1, confidence_2) AS weakest_confidence,
  GREATEST(confidence_1, confidence_2) AS strongest_confidence,
  (suggested_by_user IS NULL OR is_suggested IS NOT NULL) AS are_flags_readable,
  (ai_service_1_confidence IS NULL OR confidence_1 IS NOT NULL)
  AND (ai_service_2_confidence IS NULL OR confidence_2 IS NOT NULL) AS are_numbers_readable,
  CASE WHEN scored.photo_id RLIKE :photo_id_pattern THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  normal_keyword IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY scored.photo_id, COALESCE(normal_keyword, record_sha256)
    ORDER BY confidence DESC, source_file, source_line
  ) > 1 AS is_repeated_keyword,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, repairs, record,
  record_sha256
FROM scored
LEFT JOIN photos ON photos.photo_id = scored.photo_id
