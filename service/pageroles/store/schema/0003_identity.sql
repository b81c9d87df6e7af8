-- A session is its domain and its session_id, whatever its user and its start: `places` knows every place, a user and a
-- start, at which a version of it was stored. Of these the latest version counts. The service's own writers look a
-- session's places up and mark what no longer counts as gone.

{{ "DROP TABLE IF EXISTS sessions" ~ on_cluster ~ ";" if cluster else "" }}
{{ distributed("sessions", by="user_key") }}

{{ alter("sessions", "ADD COLUMN IF NOT EXISTS gone UInt8 DEFAULT 0
    COMMENT '1: a version that came late, 2: a mark; the session counts at another user or start' AFTER written_at") }}

-- A mark has the place of a row whose user_id its writer does not know: so the key may be given.
{{ alter("sessions", "MODIFY COLUMN user_key UInt64 DEFAULT sipHash64(user_id) CODEC(NONE)") }}
{{ alter("sessions", "MODIFY COLUMN user_sixteenth UInt8 DEFAULT bitShiftRight(user_key, 60)") }}

-- Outside of these years a day is another one: ClickHouse's Date wraps.
{{ alter_own("sessions", "ADD CONSTRAINT IF NOT EXISTS started_at_lies_in_the_years_1970_to_2148
    CHECK started_at >= toDateTime64('1970-01-01 00:00:00', 3, 'UTC')
      AND started_at < toDateTime64('2149-01-01 00:00:00', 3, 'UTC')") }}

-- The last of the four values in the order of significance: gone, converting, landing, exit, before exit.
{{ alter("sessions", "MODIFY COLUMN packed FixedString(24) MATERIALIZED CAST(
        concat(
            reinterpret(user_key, 'FixedString(8)'),
            reinterpret(
                bitOr(
                    bitOr(
                        bitOr(bitShiftLeft(toUInt128(gone != 0), 127), bitShiftLeft(toUInt128(converting), 126)),
                        bitShiftLeft(toUInt128(bitShiftRight(landing_key, 22)), 84)),
                    bitOr(
                        bitShiftLeft(toUInt128(bitShiftRight(exit_key, 22)), 42),
                        toUInt128(bitShiftRight(before_exit_key, 22)))),
                'FixedString(16)')),
        'FixedString(24)') CODEC(NONE)") }}

-- A conversion on the page being viewed: that view and the views of the same page directly before it are the
-- conversion's own, and the pages before them assist; the landing page assists where there are none.
{{ alter("sessions", "MODIFY COLUMN assist_views Array(UInt32) MATERIALIZED arrayMap(
        (key, seen) -> if(
            seen > 0 AND page_keys[seen] = key,
            greatest(arrayLastIndex(page -> page != key, arraySlice(page_keys, 1, seen)), 1),
            seen),
        conversion_keys,
        arrayMap(at -> arrayCount(viewed_at -> viewed_at <= at, page_views.viewed_at), conversions.occurred_at))") }}
{{ alter_own("sessions", "MATERIALIZE COLUMN assist_views SETTINGS mutations_sync = 2") }}


-- Every place at which a version of a session was stored, and the latest version there.
CREATE TABLE IF NOT EXISTS {{ table("places") }}
(
    `domain` LowCardinality(String),
    `session_key` UInt64 CODEC(NONE),
    `user_key` UInt64 CODEC(NONE),
    `started_at` DateTime64(3, 'UTC') CODEC(NONE),
    `written_at` DateTime64(6, 'UTC')
)
ENGINE = {{ engine("ReplacingMergeTree(written_at)") }}
ORDER BY (domain, session_key, user_key, started_at);
{{ distributed("places", by="user_key") }}

DROP VIEW IF EXISTS places_feed{{ on_cluster }};
CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("places_feed", to="places") }} AS
SELECT domain, session_key, user_key, started_at, max(written_at) AS written_at
FROM {{ local("sessions") }}
WHERE gone != 2
GROUP BY domain, session_key, user_key, started_at;

INSERT INTO places
SELECT domain, session_key, user_key, started_at, max(written_at) AS written_at
FROM sessions
WHERE gone != 2
GROUP BY domain, session_key, user_key, started_at;


-- Places that a session left: what `users` says of these users may be too early.
CREATE TABLE IF NOT EXISTS {{ table("departures") }}
(
    `domain` LowCardinality(String),
    `user_key` UInt64 CODEC(NONE),
    `started_at` DateTime64(3, 'UTC') CODEC(NONE)
)
ENGINE = {{ engine("ReplacingMergeTree") }}
ORDER BY (domain, user_key, started_at);
{{ distributed("departures", by="user_key") }}

DROP VIEW IF EXISTS departures_feed{{ on_cluster }};
CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("departures_feed", to="departures") }} AS
SELECT domain, user_key, started_at
FROM {{ local("sessions") }}
WHERE gone != 0;


DROP VIEW IF EXISTS users_feed{{ on_cluster }};
CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("users_feed", to="users") }} AS
SELECT domain, user_key, min(started_at) AS first_seen_at
FROM {{ local("sessions") }}
WHERE gone = 0
GROUP BY domain, user_key;


-- A session without a conversion enters `converting_sessions` as a mark, but only where it takes one back. A version
-- with a conversion that comes late, after one that has none, does not enter: `places` knows the latest. Within a view
-- `sessions` is what is being inserted, so all look-ups are for these rows alone.
DROP VIEW IF EXISTS converting_sessions_feed{{ on_cluster }};
CREATE MATERIALIZED VIEW IF NOT EXISTS {{ view("converting_sessions_feed", to="converting_sessions") }} AS
WITH known AS
(
    SELECT domain, session_key, user_key, started_at, max(written_at) AS known_at
    FROM {{ local("places") }}
    WHERE (domain, session_key) IN
        (SELECT domain, session_key FROM {{ local("sessions") }} WHERE converting AND gone = 0)
    GROUP BY domain, session_key, user_key, started_at
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
WHERE if(is_deleted,
    (s.domain, s.user_key, s.started_at, s.session_key) IN
    (
        SELECT domain, user_key, started_at, session_key
        FROM {{ local("converting_sessions") }}
        WHERE (domain, user_key) IN (SELECT domain, user_key FROM {{ local("sessions") }})
        UNION ALL
        SELECT domain, user_key, started_at, session_key FROM {{ local("sessions") }} WHERE converting AND gone = 0
    ),
    s.written_at >= known.known_at);

-- Marks are few now, and none may be dropped.
{{ alter_own("converting_sessions", "RESET SETTING enable_replacing_merge_with_cleanup_for_min_age_to_force_merge,
    min_age_to_force_merge_on_partition_only, min_age_to_force_merge_seconds,
    allow_experimental_replacing_merge_with_cleanup") }}


-- What was stored before: sessions at several places count at one of them.
INSERT INTO sessions (domain, session_id, user_key, started_at, written_at, gone)
WITH moved AS
(
    SELECT
        domain,
        session_key,
        argMax((user_key, started_at), (written_at, started_at, user_key)) AS place,
        max(written_at) AS latest
    FROM places
    GROUP BY domain, session_key
    HAVING uniqExact(user_key, started_at) > 1
)
SELECT s.domain, s.session_id, s.user_key, s.started_at, moved.latest, 2
FROM sessions AS s FINAL
GLOBAL INNER JOIN moved ON moved.domain = s.domain AND moved.session_key = s.session_key
WHERE (s.user_key, s.started_at) != moved.place AND s.gone = 0;

TRUNCATE TABLE {{ local("users") }}{{ on_cluster }};
INSERT INTO users
SELECT domain, user_key, min(started_at) AS first_seen_at
FROM sessions FINAL
WHERE gone = 0
GROUP BY domain, user_key;

TRUNCATE TABLE {{ local("departures") }}{{ on_cluster }};

TRUNCATE TABLE {{ local("converting_sessions") }}{{ on_cluster }};
INSERT INTO converting_sessions
SELECT
    domain, user_key, started_at, session_key, session_id, effective_source, effective_medium, utm_campaign,
    utm_content, utm_term, landing_key, exit_key, before_exit_key, page_keys, conversions.url, conversions.type,
    conversions.id, conversion_keys, assist_views, written_at, 0 AS is_deleted
FROM sessions FINAL
WHERE converting AND gone = 0;
