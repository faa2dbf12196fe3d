-- The keywords that the corpus is to hold, by another way than the query that makes it: of several rows of a photo with
-- one keyword the one of most confidence.
-- Views: keywords, photos. Marker: corpus_end.
WITH numbered AS (
  SELECT
    keywords.photo_id,
    keywords.keyword,
    keywords.confidence,
    ROW_NUMBER() OVER (PARTITION BY keywords.photo_id, keywords.keyword ORDER BY keywords.confidence DESC) AS place
  FROM keywords
  LEFT SEMI JOIN photos ON photos.photo_id = keywords.photo_id AND photos.submitted_at < :corpus_end
)
SELECT photo_id, keyword, confidence
FROM numbered
WHERE place = 1
