-- The conversions of one window, [window_start, window_end). Repeated conversions of one photo by one visitor for
-- one query in one country are one row: the first of them, how many there were, and what the one of most weight weighs.
-- A conversion counts only if its photo had been submitted by then.
-- Device, orientation filter and position are those of the first, all of one conversion; of several at its very
-- instant, the one whose values come first in order, nulls before all.
-- Views: conversions, photos, visitors (from number_visitors). Markers: window_start, window_end.
SELECT
  visitor_id,
  visitor,
  query,
  country,
  photo_id,
  first_of_all.converted_at,
  conversion_count,
  weight,
  first_of_all.device_type,
  first_of_all.orientation_filter,
  first_of_all.position
FROM (
  SELECT
    visitor_id,
    query,
    country,
    photo_id,
    MIN(
      STRUCT(
        converted_at,
        device_type IS NOT NULL AS has_device,
        device_type,
        orientation_filter IS NOT NULL AS has_orientation,
        orientation_filter,
        position IS NOT NULL AS has_position,
        position
      )
    ) AS first_of_all,
    COUNT(*) AS conversion_count,
    MAX(weight) AS weight
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
)
JOIN visitors USING (visitor_id)
