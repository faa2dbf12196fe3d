-- Keys of rows that may differ from what was derived a second time; none where all is well. By digests, so that an honest
-- night sorts and moves no text: two keys of one digest are suspects as well, and audit_differences looks at them whole.
-- Views: derived, found (key_digest, value_digest, is_outside).
SELECT key_digest
FROM (
  SELECT key_digest, value_digest, is_outside, 1 AS is_derived, 0 AS is_found FROM derived
  UNION ALL
  SELECT key_digest, value_digest, is_outside, 0 AS is_derived, 1 AS is_found FROM found
)
GROUP BY key_digest
HAVING SUM(is_derived) <> 1 OR SUM(is_found) <> 1 OR BOOL_OR(is_outside) OR BIT_XOR(value_digest) <> 0
