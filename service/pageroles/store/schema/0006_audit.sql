-- Who did what to keys, quotas and sessions. Rows are written and never changed.
CREATE TABLE IF NOT EXISTS {{ table("audit_log") }}
(
    `at` DateTime64(3, 'UTC') DEFAULT now64(3),
    `action` LowCardinality(String),
    `by` LowCardinality(String) COMMENT 'The user of the system and the machine, and command or server',
    `domain` LowCardinality(String) COMMENT 'Empty: no single one',
    `key_id` String,
    `details` String COMMENT 'What else is known, as a JSON object'
)
ENGINE = {{ engine("MergeTree") }}
ORDER BY at;
{{ distributed("audit_log", by="sipHash64(at)") }}
