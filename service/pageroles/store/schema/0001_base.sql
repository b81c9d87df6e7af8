-- The store of pageroles.
--
-- Writers insert the plain columns of `sessions` and nothing else. ClickHouse computes the rest at insert: the
-- MATERIALIZED columns below, and the tables that views fill. docs/semantics.md defines their meaning.
--
-- A key is the 64-bit sipHash64 of a string; 0 means "none".


-- One row for each session. A session that is written again (with the same domain, session_id, user_id and started_at)
-- is replaced: the row with the latest written_at counts, of equal ones the last inserted. Read the table with FINAL.
--
-- It is sorted by user bucket, then by day. A report is cut into ranges of the user key, each range lies in one piece,
-- and all sessions of a user are in one range. By day, a short window reads little.
--
-- The columns that reports read of every session are not compressed: hashes hardly shrink, and decompression took
-- longer than all else that ClickHouse does for a report.
CREATE TABLE IF NOT EXISTS {{ table("sessions") }}
(
    `domain` LowCardinality(String) COMMENT 'The tenant: the domain that an API key belongs to',
    `session_id` String,
    `user_id` String,
    `started_at` DateTime64(3, 'UTC') CODEC(NONE),

    `source` LowCardinality(String) COMMENT 'As derived by the tracker',
    `medium` LowCardinality(String) COMMENT 'As derived by the tracker',
    `referrer` String,
    `utm_source` LowCardinality(String),
    `utm_medium` LowCardinality(String),
    `utm_campaign` LowCardinality(String),
    `utm_content` LowCardinality(String),
    `utm_term` LowCardinality(String),

    `page_views.url` Array(String) COMMENT 'As tracked',
    `page_views.viewed_at` Array(DateTime64(3, 'UTC')),

    `conversions.url` Array(String) COMMENT 'As tracked; empty: the page being viewed at that time',
    `conversions.type` Array(String),
    `conversions.id` Array(String),
    `conversions.occurred_at` Array(DateTime64(3, 'UTC')),

    `written_at` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'Orders the versions of a session',

    `day` Date MATERIALIZED toDate(started_at),
    `user_key` UInt64 MATERIALIZED sipHash64(user_id) CODEC(NONE),
    `user_sixteenth` UInt8 MATERIALIZED bitShiftRight(user_key, 60) COMMENT 'The first four bits of the user key',
    `session_key` UInt64 MATERIALIZED sipHash64(session_id) CODEC(NONE),

    -- The label in front keeps a leading `www.`, and tells a bare public suffix from a domain. A host without a
    -- registrable domain (an address, a bare name) is no source.
    `referrer_domain` LowCardinality(String) MATERIALIZED if(
        isIPv4String(domainRFC(referrer)) OR isIPv6String(domainRFC(referrer))
            OR cutToFirstSignificantSubdomain('http://label.' || lower(domainRFC(referrer)))
               = 'label.' || lower(domainRFC(referrer)),
        '', cutToFirstSignificantSubdomain('http://label.' || lower(domainRFC(referrer))))
        COMMENT 'The registrable domain of the referrer',
    `effective_source` LowCardinality(String) MATERIALIZED multiIf(
        utm_source != '', utm_source,
        source != '', source,
        referrer_domain != '', referrer_domain,
        '(direct)'),
    `effective_medium` LowCardinality(String) MATERIALIZED multiIf(
        utm_medium != '', utm_medium,
        medium != '', medium,
        '(none)'),

    `converting` Bool MATERIALIZED notEmpty(conversions.occurred_at) COMMENT 'Carries a conversion',

    `page_keys` Array(UInt64) MATERIALIZED arrayMap(
        url -> sipHash64({{ canonical("url") }}),
        -- The position keeps the order of views at the same time: arraySort alone is not stable.
        arraySort((url, at, position) -> (at, position),
                  page_views.url, page_views.viewed_at, arrayEnumerate(page_views.url)))
        COMMENT 'Canonical pages in order of viewing',
    `landing_key` UInt64 MATERIALIZED page_keys[1] CODEC(NONE),
    `exit_key` UInt64 MATERIALIZED page_keys[-1] CODEC(NONE),
    `before_exit_key` UInt64 MATERIALIZED arrayLast(key -> key != page_keys[-1], page_keys)
        COMMENT 'The last page that is not the exit page' CODEC(NONE),

    -- The user key, then 128 bits. From the most significant: an unused bit, a bit for `converting`, and the first 42
    -- bits of landing_key, exit_key and before_exit_key.
    `packed` FixedString(24) MATERIALIZED CAST(
        concat(
            reinterpret(user_key, 'FixedString(8)'),
            reinterpret(
                bitOr(
                    bitOr(
                        bitShiftLeft(toUInt128(converting), 126),
                        bitShiftLeft(toUInt128(bitShiftRight(landing_key, 22)), 84)),
                    bitOr(
                        bitShiftLeft(toUInt128(bitShiftRight(exit_key, 22)), 42),
                        toUInt128(bitShiftRight(before_exit_key, 22)))),
                'FixedString(16)')),
        'FixedString(24)')
        COMMENT 'What a report reads of every session: the user key and the three pages' CODEC(NONE),

    `conversion_keys` Array(UInt64) MATERIALIZED arrayMap(
        (url, at) -> if(
            url = '', page_keys[arrayCount(viewed_at -> viewed_at <= at, page_views.viewed_at)],
            sipHash64({{ canonical("url") }})),
        conversions.url, conversions.occurred_at)
        COMMENT 'Canonical page of each conversion',
    `assist_views` Array(UInt32) MATERIALIZED arrayMap(
        (key, at) -> arrayCount(viewed_at -> viewed_at <= at, page_views.viewed_at)
            -- The view on which the conversion occurred is the conversion's own, unless it is the landing view.
            - (arrayCount(viewed_at -> viewed_at <= at, page_views.viewed_at) > 1
               AND page_keys[arrayCount(viewed_at -> viewed_at <= at, page_views.viewed_at)] = key),
        conversion_keys, conversions.occurred_at)
        COMMENT 'How many leading views assist each conversion'
)
ENGINE = {{ engine("ReplacingMergeTree(written_at)") }}
PARTITION BY toYYYYMM(started_at)
PRIMARY KEY (domain, user_sixteenth, day, user_key)
ORDER BY (domain, user_sixteenth, day, user_key, session_key)
SETTINGS index_granularity = 8192;
{{ distributed("sessions", by="sipHash64(user_id)") }}


-- The sessions with a conversion, which are few, with all that a report reads of them: over the whole history they
-- show who converted first, and when. Sorted by user, so that a range of the user key is read in one piece.
--
-- A session without a conversion is inserted as a deletion mark: it removes an earlier version that had one. FINAL
-- hides the marks; a merge of a whole partition removes them.
CREATE TABLE IF NOT EXISTS {{ table("converting_sessions") }}
(
    `domain` LowCardinality(String),
    `user_key` UInt64 CODEC(NONE),
    `started_at` DateTime64(3, 'UTC') CODEC(NONE),
    `session_key` UInt64 CODEC(NONE),
    `session_id` String,
    `effective_source` LowCardinality(String),
    `effective_medium` LowCardinality(String),
    `utm_campaign` LowCardinality(String),
    `utm_content` LowCardinality(String),
    `utm_term` LowCardinality(String),
    `landing_key` UInt64 CODEC(NONE),
    `exit_key` UInt64 CODEC(NONE),
    `before_exit_key` UInt64 CODEC(NONE),
    `page_keys` Array(UInt64) CODEC(NONE),
    `conversions.url` Array(String),
    `conversions.type` Array(String),
    `conversions.id` Array(String),
    `conversion_keys` Array(UInt64) CODEC(NONE),
    `assist_views` Array(UInt32),
    `written_at` DateTime64(6, 'UTC'),
    `is_deleted` UInt8
)
ENGINE = {{ engine("ReplacingMergeTree(written_at, is_deleted)") }}
PARTITION BY toYYYYMM(started_at)
PRIMARY KEY (domain, user_key, started_at)
ORDER BY (domain, user_key, started_at, session_key)
SETTINGS index_granularity = 8192,
    allow_experimental_replacing_merge_with_cleanup = 1,
    enable_replacing_merge_with_cleanup_for_min_age_to_force_merge = 1,
    min_age_to_force_merge_on_partition_only = 1,
    min_age_to_force_merge_seconds = 600;
{{ distributed("converting_sessions", by="user_key") }}

CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("converting_sessions_feed", to="converting_sessions") }} AS
SELECT
    domain,
    user_key,
    started_at,
    session_key,
    NOT converting AS is_deleted,
    written_at,
    if(is_deleted, '', session_id) AS session_id,
    if(is_deleted, '', effective_source) AS effective_source,
    if(is_deleted, '', effective_medium) AS effective_medium,
    if(is_deleted, '', utm_campaign) AS utm_campaign,
    if(is_deleted, '', utm_content) AS utm_content,
    if(is_deleted, '', utm_term) AS utm_term,
    if(is_deleted, 0, landing_key) AS landing_key,
    if(is_deleted, 0, exit_key) AS exit_key,
    if(is_deleted, 0, before_exit_key) AS before_exit_key,
    if(is_deleted, [], page_keys) AS page_keys,
    conversions.url,
    conversions.type,
    conversions.id,
    conversion_keys,
    assist_views
FROM {{ local("sessions") }};


-- When each user was first seen. A session that is replaced keeps its start, so this stays right.
CREATE TABLE IF NOT EXISTS {{ table("users") }}
(
    `domain` LowCardinality(String),
    `user_key` UInt64 CODEC(NONE),
    `first_seen_at` SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(NONE)
)
ENGINE = {{ engine("AggregatingMergeTree") }}
ORDER BY (domain, user_key);
{{ distributed("users", by="user_key") }}

CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("users_feed", to="users") }} AS
SELECT domain, user_key, min(started_at) AS first_seen_at
FROM {{ local("sessions") }}
GROUP BY domain, user_key;


-- The URLs of the page keys.
CREATE TABLE IF NOT EXISTS {{ table("pages") }}
(
    `domain` LowCardinality(String),
    `page_key` UInt64,
    `url` String
)
ENGINE = {{ engine("ReplacingMergeTree") }}
ORDER BY (domain, page_key);
{{ distributed("pages", by="page_key") }}

CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("pages_feed", to="pages") }} AS
SELECT DISTINCT domain, sipHash64(url) AS page_key, url
FROM
(
    SELECT domain, {{ canonical("raw") }} AS url
    FROM {{ local("sessions") }}
    ARRAY JOIN arrayConcat(page_views.url, arrayFilter(raw -> raw != '', conversions.url)) AS raw
);


-- The hashes of the API keys. A later row of an id replaces the earlier one: so a key is revoked.
CREATE TABLE IF NOT EXISTS {{ table("api_keys") }}
(
    `id` String,
    `hash` String COMMENT 'SHA-256 of the key, in hexadecimal',
    `domain` String COMMENT 'Empty: all domains',
    `all_domains` Bool,
    `created_at` DateTime64(3, 'UTC'),
    `revoked_at` Nullable(DateTime64(3, 'UTC')),
    `written_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = {{ engine("ReplacingMergeTree(written_at)") }}
ORDER BY id;
{{ distributed("api_keys", by="sipHash64(id)") }}


-- The requests that a domain may make in a month; NULL: no quota.
CREATE TABLE IF NOT EXISTS {{ table("quotas") }}
(
    `domain` String,
    `monthly_limit` Nullable(UInt64),
    `written_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = {{ engine("ReplacingMergeTree(written_at)") }}
ORDER BY domain;
{{ distributed("quotas", by="sipHash64(domain)") }}

-- The requests counted against the quotas, by all servers; the rows add up.
CREATE TABLE IF NOT EXISTS {{ table("quota_usage") }}
(
    `domain` String,
    `month` Date,
    `requests` Int64
)
ENGINE = {{ engine("SummingMergeTree") }}
ORDER BY (domain, month)
{{ "" if cluster else "SETTINGS non_replicated_deduplication_window = 1000" }};
{{ distributed("quota_usage", by="sipHash64(domain)") }}
