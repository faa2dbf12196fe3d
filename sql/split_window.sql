-- The conversions of one window, [window_start, window_end). Repeated conversions of one photo by one visitor for
-- one query in one country are one row: the first time, and how many there were. A conversion counts only if its
-- photo had been submitted by then.
-- Views: conversions, photos. Markers: window_start, window_end.
SELECT
  visitor_id,
  query,
  country,
  photo_id,
  MIN(converted_at) AS converted_at,
  COUNT(*) AS conversion_count
FROM conversions
WHERE
  converted_at >= :window_start
  AND converted_at < :window_end
  AND EXISTS (
    SELECT 1
    FROM photos
    WHERE photos.photo_id = conversions.photo_id AND photos.submitted_at <= conversions.converted_at
  )
GROUP BY visitor_id, query, country, photo_id
