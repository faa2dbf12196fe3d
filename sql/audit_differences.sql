-- Where tables differ from what was derived a second time: per table and kind of fault how many rows have it, and the
-- first of them, nulls before texts.
-- fault: made_up (nothing calls for the row), lost (the row is not there), doubled, outside (of the window, by itself), or
-- the place of a cell that differs, from 0. was, should_be: that cell; of doubled rows how many there are; else
-- the cells of the row.
-- Views: derived, found (key_digest, table, key and cells, which are arrays of text, is_outside), and suspects, the
-- digests of the keys that are looked at.
WITH sides AS (
  SELECT `table`, key, cells, is_outside, TRUE AS is_derived FROM derived LEFT SEMI JOIN suspects USING (key_digest)
  UNION ALL
  SELECT `table`, key, cells, is_outside, FALSE AS is_derived FROM found LEFT SEMI JOIN suspects USING (key_digest)
),
ordered AS (
  SELECT *, TRANSFORM(cells, cell -> STRUCT(cell IS NOT NULL AS is_text, cell AS text)) AS place_in_order FROM sides
),
pairs AS (
  SELECT
    `table`,
    key,
    COUNT_IF(is_derived) AS derived_count,
    COUNT_IF(NOT is_derived) AS found_count,
    BOOL_OR(is_outside) AS is_outside,
    MIN_BY(cells, place_in_order) FILTER (WHERE is_derived) AS derived_cells,
    MIN_BY(cells, place_in_order) FILTER (WHERE NOT is_derived) AS found_cells
  FROM ordered
  GROUP BY `table`, key
),
-- The whole row at place -1, its window at 0, then its cells.
faults AS (
  SELECT
    `table`,
    key,
    CASE
      WHEN place > 0 THEN CAST(place - 1 AS STRING)
      WHEN place = 0 THEN 'outside'
      WHEN found_count = 0 THEN 'lost'
      WHEN derived_count = 0 THEN 'made_up'
      ELSE 'doubled'
    END AS fault,
    CASE
      WHEN place > 0 THEN ELEMENT_AT(found_cells, place)
      WHEN place = 0 OR derived_count = 0 THEN ARRAY_JOIN(found_cells, ', ', 'null')
      WHEN found_count > 0 THEN CAST(found_count AS STRING)
    END AS was,
    CASE
      WHEN place > 0 THEN ELEMENT_AT(derived_cells, place)
      WHEN place = 0 OR derived_count = 0 THEN NULL
      WHEN found_count = 0 THEN ARRAY_JOIN(derived_cells, ', ', 'null')
      ELSE CAST(derived_count AS STRING)
    END AS should_be
  FROM pairs
  LATERAL VIEW EXPLODE(SEQUENCE(-1, COALESCE(SIZE(found_cells), 0))) AS place
  WHERE
    CASE
      WHEN place > 0
        THEN derived_count > 0 AND NOT ELEMENT_AT(found_cells, place) <=> ELEMENT_AT(derived_cells, place)
      WHEN place = 0 THEN is_outside
      ELSE found_count <> 1 OR derived_count <> 1
    END
)
SELECT `table`, fault, fault_count, first.key, first.was, first.should_be
FROM (
  SELECT
    `table`,
    fault,
    COUNT(*) AS fault_count,
    MIN(
      STRUCT(
        TRANSFORM(key, cell -> STRUCT(cell IS NOT NULL AS is_text, cell AS text)) AS place_in_order,
        was IS NOT NULL AS is_there,
        was,
        should_be IS NOT NULL AS is_called_for,
        should_be,
        key
      )
    ) AS first
  FROM faults
  GROUP BY `table`, fault
)
