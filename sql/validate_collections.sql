-- Memberships of photos in collections and topics as they were read.
-- is_repeated_membership: an earlier row has the same photo_id and collection_id; the first stays.
-- photo_is_known and photo_is_clean are null where there is no proper photo_id, or no such photo, to ask for.
-- Views: records, photos (photo_id, submitted_at, is_clean).
WITH typed AS (
  SELECT
    records.*,
    CASE
      WHEN photo_collected_at RLIKE r'\A\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d(:\d\d)?)?\z'
        THEN TRY_CAST(photo_collected_at AS TIMESTAMP)
    END AS collected_at
  FROM records
)
SELECT
  typed.photo_id,
  collection_id,
  collection_title,
  collected_at,
  collection_type,
  CASE WHEN photo_collected_at IS NOT NULL THEN collected_at IS NOT NULL END AS is_time_readable,
  CASE WHEN typed.photo_id RLIKE r'\A[A-Za-z0-9_-]{11}\z' THEN photos.photo_id IS NOT NULL END AS photo_is_known,
  photos.is_clean AS photo_is_clean,
  collection_id IS NOT NULL
  AND ROW_NUMBER() OVER (
    PARTITION BY typed.photo_id, COALESCE(collection_id, record_sha256) ORDER BY source_file, source_line
  ) > 1 AS is_repeated_membership,
  unit, source_file, source_line, line_count, faults, is_utf8, has_nul, is_duplicate_of_previous, repairs, record,
  record_sha256
FROM typed
LEFT JOIN photos ON photos.photo_id = typed.photo_id
