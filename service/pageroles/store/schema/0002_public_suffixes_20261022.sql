-- What a referrer tells, by the public suffix list; of rows that are stored already, too.
--
-- A newer list is a new migration: a copy of this file, with the day of the list in its name.
--
-- On a cluster, only each server's own part works the column out; the tables over all servers know its name and type.
ALTER TABLE {{ local("sessions") }}{{ on_cluster }}
    MODIFY COLUMN `referrer_domain` LowCardinality(String) MATERIALIZED
    {{ referrer_domain() }}
    COMMENT 'What the referrer tells, by the public suffix list of {{ suffixes_date() }}';

ALTER TABLE {{ local("sessions") }}{{ on_cluster }} MATERIALIZE COLUMN `referrer_domain` SETTINGS mutations_sync = 2;

-- After the other: it reads what is stored of it.
ALTER TABLE {{ local("sessions") }}{{ on_cluster }} MATERIALIZE COLUMN `effective_source` SETTINGS mutations_sync = 2;

-- A copy of the same version takes the place of the row that is there.
INSERT INTO converting_sessions
(
    domain, user_key, started_at, session_key, session_id,
    effective_source, effective_medium, utm_campaign, utm_content, utm_term,
    landing_key, exit_key, before_exit_key, page_keys,
    conversions.url, conversions.type, conversions.id, conversion_keys, assist_views,
    written_at, is_deleted
)
SELECT
    domain, user_key, started_at, session_key, session_id,
    effective_source, effective_medium, utm_campaign, utm_content, utm_term,
    landing_key, exit_key, before_exit_key, page_keys,
    conversions.url, conversions.type, conversions.id, conversion_keys, assist_views,
    written_at, 0
FROM sessions FINAL
WHERE converting AND utm_source = '' AND source = '' AND referrer != ''
SETTINGS max_partitions_per_insert_block = 0, distributed_foreground_insert = 1;
