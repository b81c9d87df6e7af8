-- The rows of each write from its begin until every table has them. What a killed writer left half-done is written again
-- from here. A write is a partition of its own, which is dropped whole.
CREATE TABLE IF NOT EXISTS {{ table("writes") }}
(
    `id` UInt64,
    `begun_at` DateTime64(6, 'UTC') DEFAULT now64(6),
    `sessions` String CODEC(ZSTD(1)) COMMENT 'Rows of the table `sessions`, in JSONEachRow'
)
ENGINE = {{ engine("MergeTree") }}
PARTITION BY id
ORDER BY tuple();
{{ distributed("writes", by="id") }}


-- As before, but for how it looks up what is stored: each column by itself, so that ClickHouse reads few granules and
-- compares numbers and no tuples, and by a join, which reads once what a condition read again and again.
DROP VIEW IF EXISTS converting_sessions_feed{{ on_cluster }};
CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("converting_sessions_feed", to="converting_sessions") }} AS
WITH
    known AS
    (
        SELECT domain, session_key, user_key, started_at, max(written_at) AS known_at
        FROM {{ local("places") }}
        WHERE domain IN (SELECT domain FROM {{ local("sessions") }})
          AND session_key IN (SELECT session_key FROM {{ local("sessions") }} WHERE converting AND gone = 0)
        GROUP BY domain, session_key, user_key, started_at
    ),
    converted AS
    (
        SELECT DISTINCT domain, user_key, started_at, session_key, true AS is_converted
        FROM
        (
            SELECT domain, user_key, started_at, session_key
            FROM {{ local("converting_sessions") }}
            WHERE domain IN (SELECT domain FROM {{ local("sessions") }})
              AND user_key IN (SELECT user_key FROM {{ local("sessions") }} WHERE NOT converting OR gone != 0)
            UNION ALL
            SELECT domain, user_key, started_at, session_key FROM {{ local("sessions") }} WHERE converting AND gone = 0
        )
    )
SELECT
    s.domain AS domain,
    s.user_key AS user_key,
    s.started_at AS started_at,
    s.session_key AS session_key,
    (NOT s.converting OR s.gone != 0) AS is_deleted,
    s.written_at AS written_at,
    if(is_deleted, '', s.session_id) AS session_id,
    if(is_deleted, '', s.effective_source) AS effective_source,
    if(is_deleted, '', s.effective_medium) AS effective_medium,
    if(is_deleted, '', s.utm_campaign) AS utm_campaign,
    if(is_deleted, '', s.utm_content) AS utm_content,
    if(is_deleted, '', s.utm_term) AS utm_term,
    if(is_deleted, 0, s.landing_key) AS landing_key,
    if(is_deleted, 0, s.exit_key) AS exit_key,
    if(is_deleted, 0, s.before_exit_key) AS before_exit_key,
    if(is_deleted, [], s.page_keys) AS page_keys,
    if(is_deleted, [], s.conversions.url) AS `conversions.url`,
    if(is_deleted, [], s.conversions.type) AS `conversions.type`,
    if(is_deleted, [], s.conversions.id) AS `conversions.id`,
    if(is_deleted, [], s.conversion_keys) AS conversion_keys,
    if(is_deleted, [], s.assist_views) AS assist_views
FROM {{ local("sessions") }} AS s
LEFT JOIN known
    ON known.domain = s.domain AND known.session_key = s.session_key
   AND known.user_key = s.user_key AND known.started_at = s.started_at
LEFT JOIN converted
    ON converted.domain = s.domain AND converted.session_key = s.session_key
   AND converted.user_key = s.user_key AND converted.started_at = s.started_at
WHERE if(is_deleted, converted.is_converted, s.written_at >= known.known_at);
