-- Photos and keywords of the corpus that are not what the validated tables knew at corpus_end (the end of the test
-- window, or of time where all photos are candidates), and rows of a split whose photo is outside the corpus (of
-- train: outside its part that training may read).
-- Views: split_photos, split_keywords, split_rows, photos, keywords. Markers: train_end, corpus_end.
SELECT
  CONCAT_WS(
    ' | ',
    CASE
      WHEN photos.photo_id IS NULL THEN 'photo that is not in the validated table'
      WHEN NOT COALESCE(photos.submitted_at < :corpus_end, FALSE) THEN 'photo submitted after the test window'
      WHEN NOT split_photos.submitted_at <=> photos.submitted_at THEN 'photo with another submission time'
      WHEN NOT split_photos.is_in_train <=> (photos.submitted_at < :train_end) THEN 'photo with a wrong is_in_train'
      ELSE 'photo with another description'
    END,
    split_photos.photo_id,
    split_photos.submitted_at
  ) AS violation
FROM split_photos
LEFT JOIN photos ON photos.photo_id = split_photos.photo_id
WHERE
  NOT COALESCE(photos.submitted_at < :corpus_end, FALSE)
  OR NOT split_photos.submitted_at <=> photos.submitted_at
  OR NOT split_photos.is_in_train <=> (photos.submitted_at < :train_end)
  OR (
    split_photos.description IS NOT NULL
    AND NOT split_photos.description <=> TRIM(photos.description)
    AND NOT split_photos.description <=> TRIM(photos.ai_description)
  )
UNION ALL
SELECT CONCAT_WS(' | ', 'photo listed more than once', photo_id) AS violation
FROM split_photos
GROUP BY photo_id
HAVING COUNT(*) > 1
UNION ALL
SELECT CONCAT_WS(' | ', 'keyword of a photo outside the corpus', split_keywords.photo_id, split_keywords.keyword)
FROM split_keywords
LEFT ANTI JOIN split_photos ON split_photos.photo_id = split_keywords.photo_id
UNION ALL
SELECT
  CONCAT_WS(
    ' | ', 'keyword that the validated table does not have', split_keywords.photo_id, split_keywords.keyword
  )
FROM split_keywords
LEFT ANTI JOIN keywords
  ON
    keywords.photo_id = split_keywords.photo_id
    AND keywords.keyword = split_keywords.keyword
    AND keywords.confidence <=> split_keywords.confidence
UNION ALL
SELECT
  CONCAT_WS(
    ' | ',
    CONCAT(split_rows.split, ' row of a photo outside the corpus'),
    split_rows.visitor_id,
    split_rows.query,
    split_rows.country,
    split_rows.photo_id
  )
FROM split_rows
LEFT ANTI JOIN split_photos
  ON split_photos.photo_id = split_rows.photo_id AND (split_photos.is_in_train OR split_rows.split <> 'train')
