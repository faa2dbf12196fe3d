-- Every photo with the file of the data set that counts for it, and with what the last night found of that file if its
-- size and time are the same. A file is read once for all its photos.
WITH ranked AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY place, uri) AS rank FROM listing
),
known AS (
    SELECT uri, byte_count, modified_ns, MIN(sha256) AS sha256, MIN(reason) AS reason
    FROM last_files
    WHERE sha256 IS NOT NULL AND (reason IS NULL OR reason <> 'out_of_memory') -- another time there may be more
    GROUP BY uri, byte_count, modified_ns
),
files AS (
    SELECT
        ranked.key, ranked.uri, ranked.byte_count, ranked.modified_ns,
        known.sha256, known.reason, known.uri IS NOT NULL AS is_known
    FROM ranked
    LEFT JOIN known ON
        ranked.uri = known.uri AND ranked.byte_count = known.byte_count AND ranked.modified_ns = known.modified_ns
    WHERE ranked.rank = 1
)
SELECT
    photos.photo_id, photos.image_url,
    files.uri AS file_uri, files.byte_count AS file_byte_count, files.modified_ns AS file_modified_ns,
    files.sha256 AS file_sha256, files.reason AS file_reason, files.is_known
FROM photos
LEFT JOIN files ON photos.key = files.key
