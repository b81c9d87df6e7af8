"""The report as one slow SQL query.

It reads the plain columns that writers fill and nothing that the store works out at insert, so it checks the reference
and the store's own columns by a second reading of docs/semantics.md. One thing it takes from the reference: which part
of a host is its registrable domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.reference import (
    CONVERSION_FILTERS,
    CONVERSION_ROLES,
    DROP_OFF_ROLES,
    MESSAGE,
    PLAIN_FILTERS,
    SESSION_FILTERS,
    registrable_domain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

FILTERS = (*CONVERSION_FILTERS, *SESSION_FILTERS)

# The host of the URL `url`.
HOST = "extract(url, '(?i)^https?://(?:[^/?#]*@)?([^/?#:]+)(?::[0-9]*)?(?:[/?#]|$)')"

# Sides in the result: 0 the totals (one row, always), 1 conversion_performance, 2 drop_off_performance.
REPORT = (
    r"""
WITH
    history AS
    (
        WITH
            raw -> replaceRegexpOne(replaceRegexpOne(raw, '(?s)[?#].*', ''), '/+$', '') AS bare,
            url -> transform(HOST, {hosts:Array(String)}, {domains:Array(String)}, '') AS domain_of
        SELECT
            user_id,
            session_id,
            started_at,
            arrayFirst(view -> true, arraySort(view -> view.1, arrayZip(page_views.viewed_at, page_views.url))).2
                AS landing_url,
            domain_of(referrer) AS referring_domain,
            extract(referrer, '^(?:android|ios)-app://([^/?#]+)') AS app,
            multiIf(utm_source != '', utm_source,
                    source != '', source,
                    app != '', app,
                    referring_domain IN ('', domain_of(landing_url), domain_of('http://' || domain)), '(direct)',
                    referring_domain) AS from_source,
            multiIf(utm_medium != '', utm_medium, medium != '', medium, '(none)') AS from_medium,
            PLAIN_COLUMNS,
            -- The position decides between views of one instant.
            arraySort(arrayMap((url, at, position) -> (at, position, if(bare(url) = '', '/', bare(url))),
                page_views.url, page_views.viewed_at, arrayEnumerate(page_views.url))) AS views,
            arrayMap(view -> view.3, views) AS pages,
            -- (page, '' where the URL is empty; occurred at) of each conversion that matches.
            arrayMap(
                one -> (multiIf(one.1 = '', '', bare(one.1) = '', '/', bare(one.1)), one.4),
                arrayFilter(
                    one -> (one.1 = {conversion_page:String} OR {conversion_page:String} = '')
                       AND (one.2 = {meta_type:String} OR {meta_type:String} = '')
                       AND (one.3 = {meta_id:String} OR {meta_id:String} = ''),
                    arrayZip(conversions.url, conversions.type, conversions.id, conversions.occurred_at))) AS tracked
        FROM sessions FINAL
        WHERE domain = {domain:String} AND gone = 0
    ),

    journeys AS
    (
        SELECT
            *,
            (started_at, sipHash64(session_id)) AS place,
            notEmpty(tracked) AS converting,
            min(place) OVER journey AS first,
            countIf(converting) OVER journey > 0 AS ever_converts,
            minIf(place, converting) OVER journey AS first_converting,
            ever_converts AND place > first_converting AS converted_before
        FROM history
        WINDOW journey AS (PARTITION BY user_id)
    ),

    included AS
    (
        WITH {conversion_page:String} != '' OR {meta_type:String} != '' OR {meta_id:String} != '' AS conversion_filter
        SELECT *
        FROM journeys
        WHERE toUnixTimestamp64Milli(started_at) BETWEEN {start:Int64} AND {end:Int64}
          AND (from_source = {source:String} OR {source:String} = '')
          AND (from_medium = {medium:String} OR {medium:String} = '')
          AND PLAIN_FILTERS
          AND (pages[1] = {landing_page:String} OR {landing_page:String} = '')
          AND multiIf(
              {scope:String} = 'any', converting OR NOT conversion_filter,
              {scope:String} = 'first', place = first AND (ever_converts OR NOT conversion_filter),
              {scope:String} = 'converting', converting,
              {scope:String} = 'assist', ever_converts AND place > first AND place < first_converting,
              {scope:String} = 'after', converted_before,
              throwIf(true, 'unknown scope') = 1)
    ),

    located AS
    (
        SELECT
            *,
            NOT converting OR converted_before AS drops_off,
            arrayMap(one -> arrayCount(view -> view.1 <= one.2, views), tracked) AS untils,
            -- (page, views that assist) of each conversion; '' is no page.
            arrayMap(
                (one, until) -> multiIf(
                    until = 0, (one.1, 0),
                    one.1 NOT IN ('', pages[until]), (one.1, until),
                    -- Views of the page directly before the conversion are its own, too; a landing page assists itself.
                    (pages[until],
                     greatest(arrayLastIndex(page -> page != pages[until], arraySlice(pages, 1, until)), 1))),
                tracked, untils) AS conversions
        FROM included
    ),

    -- Each role that a page played in a session, once: (side, role, page).
    roles AS
    (
        SELECT
            user_id,
            arrayJoin(arrayDistinct(arrayConcat(
                arrayMap(one -> (1, 1, one.1), arrayFilter(one -> one.1 != '', conversions)),
                arrayFlatten(arrayMap(
                    one -> arrayMap(page -> (1, 2, page), arraySlice(pages, 1, one.2)), conversions)),
                arrayMap(page -> (1, 3, page), if(converting, arraySlice(pages, 1, 1), [])),
                arrayMap(page -> (2, 1, page), if(drops_off, arraySlice(pages, -1), [])),
                arrayMap(page -> (2, 2, page),
                    if(drops_off, arraySlice(arrayFilter(page -> page != pages[-1], pages), -1), [])),
                arrayMap(page -> (2, 3, page), if(drops_off, arraySlice(pages, 1, 1), []))))) AS played
        FROM located
    ),

    answer AS
    (
        SELECT
            0 AS side, '' AS url,
            count() AS sessions_1, uniqExact(user_id) AS users_1,
            sum(length(tracked)) AS sessions_2, uniqExactIf(user_id, converting) AS users_2,
            0 AS sessions_3, 0 AS users_3
        FROM included
        UNION ALL
        SELECT
            played.1, played.3,
            countIf(played.2 = 1), uniqExactIf(user_id, played.2 = 1),
            countIf(played.2 = 2), uniqExactIf(user_id, played.2 = 2),
            countIf(played.2 = 3), uniqExactIf(user_id, played.2 = 3)
        FROM roles
        GROUP BY played.1, played.3
    )

SELECT * FROM answer ORDER BY side, sessions_1 DESC, sessions_2 DESC, sessions_3 DESC, url
""".replace("HOST", HOST)
    .replace("PLAIN_COLUMNS", ", ".join(PLAIN_FILTERS.values()))
    .replace(
        "PLAIN_FILTERS",
        " AND ".join(
            f"({column} = {{{name}:String}} OR {{{name}:String}} = '')" for name, column in PLAIN_FILTERS.items()
        ),
    )
)


HOSTS = """
SELECT DISTINCT HOST AS host
FROM sessions
ARRAY JOIN arrayConcat([referrer, 'http://' || domain], page_views.url) AS url
WHERE domain = {domain:String} AND host != ''
""".replace("HOST", HOST)


def twin(
    client: Client,
    domain: str,
    request_window_start_ms: int,
    end_ms: int,
    filters: Mapping[str, str],
    scope: str,
) -> dict[str, Any]:
    """Return the report in its REST shape, without `time_frame`: the window is the caller's.

    Args:
        client: A client of a store with the schema.
        domain: Whose sessions.
        request_window_start_ms: First instant of the window, in milliseconds since 1970.
        end_ms: Last instant of the window, in milliseconds since 1970.
        filters: The request's filters by name; others of its fields are passed over.
        scope: `any`, `first`, `converting`, `assist` or `after`.
    """
    parameters: dict[str, object] = {name: filters.get(name, "") for name in FILTERS}
    parameters |= {"domain": domain, "start": request_window_start_ms, "end": end_ms, "scope": scope or "any"}
    # Which part of a host is its registrable domain is the reference's to say: SQL has no list of public suffixes.
    hosts = [host for (host,) in client.query(HOSTS, parameters={"domain": domain}).result_rows]
    parameters |= {"hosts": ["", *hosts], "domains": ["", *map(registrable_domain, hosts)]}
    (_, _, sessions, users, events, conversion_users, *_), *rows = client.query(
        REPORT, parameters=parameters
    ).result_rows
    if not sessions:
        return {"message": MESSAGE}
    return {
        "summary_totals": {
            "total_sessions": sessions,
            "total_users": users,
            "total_conversion_events": events,
            "total_conversion_users": conversion_users,
        },
        "conversion_performance": [_row(row, CONVERSION_ROLES) for row in rows if row[0] == 1],
        "drop_off_performance": [_row(row, DROP_OFF_ROLES) for row in rows if row[0] == 2],
    }


def _row(row: Any, roles: tuple[str, ...]) -> dict[str, Any]:
    _, url, *counts = row
    return {"url": url} | {
        role: {"sessions": counts[2 * at], "users": counts[2 * at + 1]} for at, role in enumerate(roles)
    }
