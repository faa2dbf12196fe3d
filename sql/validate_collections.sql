-- Memberships of photos in collections and topics as they were read.
-- is_repeated_membership: an earlier row has the same photo_id and collection_id; the first stays.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: records, photos (photo_id, submitted_at, is_clean). Marker: photo_id_pattern.
WITH typed AS (
  SELECT
    records.*,
    photo_collected_at_read AS collected_at
  FROM records
)
SELECT
  typed.photo_id,
  collection_id,
  collection_title,
  collected_at,
  collection_type,
  photo_collected_at AS collected_at_text,
  CASE WHEN photo_collected_at IS NOT NULL THEN collected_at IS NOT NULL END AS is_time_readable,
  CASE WHEN typed.photo_id RLIKE :photo_id_pattern THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  collection_id IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY typed.photo_id, COALESCE(collection_id, record_sha256) ORDER BY source_file, source_line
  ) > 1 AS is_repeated_membership,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, repairs, record,
  record_sha256
FROM typed
LEFT JOIN photos ON photos.photo_id = typed.photo_id
