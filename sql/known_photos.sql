-- One row per proper photo_id there is: when it was submitted, and whether its row is good.
-- Views: rows (of photos), exceptions (unit, place, is_repeated_photo_id, is_bad: what the night found of some rows).
SELECT
  rows.photo_id,
  rows.submitted_at,
  NOT rows.is_refused AND NOT COALESCE(exceptions.is_bad, FALSE) AS is_clean
FROM rows
LEFT JOIN exceptions ON exceptions.unit = rows.unit AND exceptions.place = rows.place
WHERE rows.has_proper_photo_id AND NOT COALESCE(exceptions.is_repeated_photo_id, FALSE)
