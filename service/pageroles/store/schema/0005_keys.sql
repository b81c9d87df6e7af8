-- Keys have a name, an end and permissions; those that were made before may ask for reports.
{{ alter("api_keys", "ADD COLUMN IF NOT EXISTS name String,
    ADD COLUMN IF NOT EXISTS expires_at Nullable(DateTime64(3, 'UTC')),
    ADD COLUMN IF NOT EXISTS permissions Array(LowCardinality(String)) DEFAULT ['report']") }}

-- When each key was last used, told by all servers now and then.
CREATE TABLE IF NOT EXISTS {{ table("key_uses") }}
(
    `id` String,
    `used_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = {{ engine("AggregatingMergeTree") }}
ORDER BY id;
{{ distributed("key_uses", by="sipHash64(id)") }}
