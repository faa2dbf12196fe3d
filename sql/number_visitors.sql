-- Every visitor of the log with a number, from 0, in the order of first appearance: by time, then as the rows were
-- written. Later rows never change it, and neither does the key of the pseudonyms.
-- The visitors of a day are numbered apart from those of other days, so that no process sorts all of them.
-- View: conversions.
WITH firsts AS (
  SELECT
    visitor_id,
    MIN(
      STRUCT(
        converted_at,
        source_file IS NOT NULL AS has_file,
        source_file,
        source_line IS NOT NULL AS has_line,
        source_line
      )
    ) AS first_row
  FROM conversions
  GROUP BY visitor_id
),
days AS (
  SELECT
    DATE(first_row.converted_at) AS day,
    SUM(COUNT(*)) OVER (ORDER BY DATE(first_row.converted_at)) - COUNT(*) AS earlier_count
  FROM firsts
  GROUP BY DATE(first_row.converted_at)
)
SELECT
  visitor_id,
  CAST(earlier_count + ROW_NUMBER() OVER (PARTITION BY day ORDER BY first_row) - 1 AS BIGINT) AS visitor
FROM firsts
JOIN days ON days.day = DATE(firsts.first_row.converted_at)
