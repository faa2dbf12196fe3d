-- The rows of photos with the days since 1970-01-01 on which those were submitted, 0 if not known.
-- Views: rows (photo_id and whatever else), photos.
-- Both sides are sorted and merged: Spark would send the table of photos to every worker, judging it by its compressed
-- size, and millions of them do not fit into a worker's memory.
SELECT /*+ MERGE(photos) */
  rows.*,
  CAST(COALESCE(UNIX_DATE(CAST(photos.submitted_at AS DATE)), 0) AS BIGINT) AS day
FROM rows
LEFT JOIN photos ON photos.photo_id = rows.photo_id
