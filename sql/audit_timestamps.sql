-- Rows of a split outside its half-open window, and conversions of photos that did not exist yet.
-- Views: split_rows, photos. Markers: train_start, train_end, validation_end, test_end.
SELECT
  CONCAT_WS(' | ', CONCAT(split, ' row outside its window'), visitor_id, query, country, photo_id, converted_at)
    AS violation
FROM split_rows
WHERE
  NOT COALESCE(
    CASE split
      WHEN 'train' THEN converted_at >= :train_start AND converted_at < :train_end
      WHEN 'validation' THEN converted_at >= :train_end AND converted_at < :validation_end
      WHEN 'test' THEN converted_at >= :validation_end AND converted_at < :test_end
    END,
    FALSE
  )
UNION ALL
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(split_rows.split, ' row before its photo was submitted'),
    split_rows.visitor_id,
    split_rows.query,
    split_rows.country,
    split_rows.photo_id,
    split_rows.converted_at
  ) AS violation
FROM split_rows
INNER JOIN photos ON photos.photo_id = split_rows.photo_id AND photos.submitted_at > split_rows.converted_at
