-- Which migrations the store has, a row each.
CREATE TABLE IF NOT EXISTS {{ table("schema_versions") }}
(
    `version` UInt32 COMMENT 'The number of a migration',
    `name` String,
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{ engine("ReplacingMergeTree") }}
ORDER BY version;
{{ distributed("schema_versions", by="version") }}
