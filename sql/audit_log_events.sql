-- The validated conversions that the splits must represent, each with the window it lies in. Derived from the log
-- alone; not shared with the queries that make the splits.
-- Views: conversions, photos. Markers: train_start, train_end, validation_end, test_end.
SELECT
  CASE
    WHEN conversions.converted_at < :train_end THEN 'train'
    WHEN conversions.converted_at < :validation_end THEN 'validation'
    ELSE 'test'
  END AS split,
  conversions.visitor_id,
  conversions.query,
  conversions.country,
  conversions.photo_id,
  conversions.converted_at
FROM conversions
LEFT SEMI JOIN photos
  ON photos.photo_id = conversions.photo_id AND photos.submitted_at <= conversions.converted_at
WHERE conversions.converted_at >= :train_start AND conversions.converted_at < :test_end
