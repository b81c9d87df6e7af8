-- The migrations that were applied to the store, one row each.
CREATE TABLE IF NOT EXISTS {{ table("schema_versions") }}
(
    `version` UInt32 COMMENT 'The number of a migration',
    `name` String,
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{ engine("ReplacingMergeTree") }}
ORDER BY version;
{{ distributed("schema_versions", by="version") }}
