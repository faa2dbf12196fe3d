-- Where tables differ from what was derived a second time: per table and kind of fault how many rows have it, and the
-- first of them.
-- fault: made_up (nothing calls for the row), lost (the row is not there), doubled, outside (of the window, by itself), or
-- the place of a value that differs, from 0. was, should_be: that value; of doubled rows how many there are; else
-- the values of the row.
-- Views: derived, found (key_digest, table, key and values, which are arrays of text, is_outside), and suspects, the
-- digests of the keys that are looked at.
WITH sides AS (
  SELECT `table`, key, values, is_outside, TRUE AS is_derived FROM derived LEFT SEMI JOIN suspects USING (key_digest)
  UNION ALL
  SELECT `table`, key, values, is_outside, FALSE AS is_derived FROM found LEFT SEMI JOIN suspects USING (key_digest)
),
pairs AS (
  SELECT
    `table`,
    key,
    COUNT_IF(is_derived) AS derived_count,
    COUNT_IF(NOT is_derived) AS found_count,
    BOOL_OR(is_outside) AS is_outside,
    MIN(values) FILTER (WHERE is_derived) AS derived_values,
    MIN(values) FILTER (WHERE NOT is_derived) AS found_values
  FROM sides
  GROUP BY `table`, key
),
faults AS (
  SELECT `table`, key, fault.name AS fault, fault.was, fault.should_be
  FROM pairs
  LATERAL VIEW EXPLODE(
    CONCAT(
      ARRAY(
        CASE
          WHEN found_count = 0
            THEN NAMED_STRUCT('name', 'lost', 'was', NULL, 'should_be', ARRAY_JOIN(derived_values, ', ', 'null'))
          WHEN derived_count = 0
            THEN NAMED_STRUCT('name', 'made_up', 'was', ARRAY_JOIN(found_values, ', ', 'null'), 'should_be', NULL)
          WHEN found_count + derived_count > 2
            THEN
              NAMED_STRUCT(
                'name', 'doubled', 'was', CAST(found_count AS STRING), 'should_be', CAST(derived_count AS STRING)
              )
        END,
        IF(
          is_outside,
          NAMED_STRUCT('name', 'outside', 'was', ARRAY_JOIN(found_values, ', ', 'null'), 'should_be', NULL),
          NULL
        )
      ),
      COALESCE(
        TRANSFORM(
          ARRAYS_ZIP(found_values, derived_values),
          (pair, place) -> IF(
            pair.found_values <=> pair.derived_values,
            NULL,
            NAMED_STRUCT(
              'name', CAST(place AS STRING), 'was', pair.found_values, 'should_be', pair.derived_values
            )
          )
        ),
        ARRAY()
      )
    )
  ) AS fault
  WHERE derived_count <> 1 OR found_count <> 1 OR is_outside OR NOT found_values <=> derived_values
)
SELECT `table`, fault, fault_count, first.key, first.was, first.should_be
FROM (
  SELECT `table`, fault, COUNT(*) AS fault_count, MIN(STRUCT(key, was, should_be)) AS first
  FROM faults
  WHERE fault IS NOT NULL
  GROUP BY `table`, fault
)
