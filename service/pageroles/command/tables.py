"""Answers, keys, quotas and findings as tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, cast

from rich import box, filesize
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pageroles.command import comparing
from pageroles.command.shown import Data
from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES, LANDING, heading
from pageroles.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from pageroles.access.keys import ApiKey
    from pageroles.access.quotas import DomainQuota
    from pageroles.client import Days, FilterValue, Report, RoleCount, Session
    from pageroles.command.comparing import Change, Dates, Row
    from pageroles.command.config import Setting
    from pageroles.command.status import Status
    from pageroles.report.residents import Memory
    from pageroles.rest_shape import Answer, Hint
    from pageroles.store.audit import Deed
    from pageroles.store.damage import Finding


def answer(body: Answer, *, rows: int) -> RenderableType:
    """Return an answer's window, totals and two tables of at most `rows` pages each; or its message."""
    balance: list[RenderableType] = [Text(), _balance(body["balance"])] if "balance" in body else []
    if "message" in body:
        hints: list[RenderableType] = [Text(), _hints(body["hints"])] if body.get("hints") else []
        return Group(Data(body["message"], "yellow"), *hints, *balance)
    frame, totals, omitted = body["time_frame"], body["summary_totals"], body.get("omitted", {})
    return Group(
        Data(f"{frame['start']} to {frame['end']}", "bold"),
        _totals(totals),
        Text(),
        _pages(
            "Where people convert, and what leads there",
            body["conversion_performance"],
            CONVERSION_ROLES,
            rows,
            omitted.get("conversion_performance", 0),
        ),
        Text(),
        _pages(
            "Where people leave, and what leads there",
            body["drop_off_performance"],
            DROP_OFF_ROLES,
            rows,
            omitted.get("drop_off_performance", 0),
        ),
        *balance,
    )


# As 2026-07-01, and the id of a key.
_DAY_WIDTH = 10
KEY_ID_WIDTH = 12


def _hints(hints: list[Hint]) -> Table:
    table = Table(title="What nearly matches", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("option", "value"):
        table.add_column(column)
    table.add_column("sessions", justify="right")
    table.add_column("why")
    for hint in hints:
        option = f"--{hint['field'].replace('_', '-')}"
        table.add_row(option, Data(hint["value"]), f"{hint['sessions']:,}", Data(hint["sentence"]))
    return table


def days(found: Days, url: str) -> RenderableType:
    """Return a table of days, with the roles of a page where its URL is given."""
    table = Table(title="Day by day (UTC)", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("day", no_wrap=True, min_width=_DAY_WIDTH)
    for column in ("sessions", "users", "conversions", "users who convert"):
        table.add_column(column, justify="right")
    for day in found:
        totals = dataclasses.astuple(day.summary_totals)
        table.add_row(f"{day.date}", *(Text(f"{total:,}", "" if total else "dim") for total in totals))
    if not url:
        return table
    roles = Table(box=box.SIMPLE_HEAD)
    roles.add_column("day", no_wrap=True, min_width=_DAY_WIDTH)
    for side, names in (("", CONVERSION_ROLES), ("leave: ", DROP_OFF_ROLES)):
        for name in names:
            roles.add_column(f"{side}{heading(name)}", justify="right")
    roles.add_column("landed here", justify="right")
    for day in found:
        counts = [getattr(day.roles, name) for name in (*CONVERSION_ROLES, *DROP_OFF_ROLES)] if day.roles else []
        cells = (_cell({"sessions": each.sessions, "users": each.users}) for each in (*counts, day.landing) if each)
        roles.add_row(f"{day.date}", *cells)
    roles.caption, roles.caption_justify = "sessions (users)", "left"
    return Group(table, Text(), Data(url, "bold"), roles)


def comparison(now: Report, before: Report, dates: tuple[Dates, Dates], *, rows: int) -> RenderableType:
    """Return what changed between two reports: their windows, totals, and two tables of at most `rows` pages each."""
    totals = Table(box=box.SIMPLE_HEAD)
    totals.add_column("total")
    for column in ("now", "before", "change"):
        totals.add_column(column, justify="right")
    for name, change in comparing.totals(now, before):
        totals.add_row(name.removeprefix("total_").replace("_", " "), *_numbers(change), _change(change))
    here, there = (f"{each.start_date} to {each.end_date}" for each in dates)
    return Group(
        Data(f"{here}, compared with the period of the same length directly before,"),
        Data(there),
        totals,
        compared(
            "Where people convert, and what leads there",
            comparing.pages("conversion", CONVERSION_ROLES, now, before),
            CONVERSION_ROLES,
            rows,
        ),
        Text(),
        compared(
            "Where people leave, and what leads there",
            comparing.pages("drop_off", DROP_OFF_ROLES, now, before),
            DROP_OFF_ROLES,
            rows,
        ),
    )


def compared(title: str, pages: list[Row], roles: tuple[str, ...], rows: int) -> Table:
    """Return a table of pages in two reports, in the order given, of at most `rows` of them."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("page")
    table.add_column("only")
    for role in roles:
        table.add_column(heading(role), justify="right")
    for page in pages[:rows]:
        cells = (Text.assemble(f"{each.now:,} (", _change(each), ")") for each in page.sessions)
        table.add_row(Data(page.url), page.where, *cells)
    left = max(len(pages) - rows, 0)
    now, before = (sum(page.where == where for page in pages) for where in ("now", "before"))
    more = f"; {counted(left, 'more page')}" if left else ""
    table.caption = f"sessions (change); {counted(now, 'page')} now only, {before:,} before only{more}"
    table.caption_justify = "left"
    return table


def _numbers(change: Change) -> tuple[str, str]:
    return f"{change.now:,}", f"{change.before:,}"


def _change(change: Change) -> Text:
    return Text(str(change), "dim" if change.now == change.before else "")


def sessions(total: RoleCount, found: Sequence[Session]) -> RenderableType:
    """Return a table of sessions, in the order given, and how many there are."""
    sentence = f"{counted(total.sessions, 'session')} of {counted(total.users, 'user')}"
    if not found:
        return Data(sentence)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("started (UTC)", "user", "session", "pages", "conversions"):
        table.add_column(column)
    for session in found:
        conversions = [
            f"{each.occurred_at:%H:%M:%S} {each.type or 'conversion'} {each.id} {each.url}".strip()
            for each in session.conversions
        ]
        table.add_row(
            f"{session.started_at:%Y-%m-%d %H:%M:%S}",
            Data(session.user_id),
            Data(session.session_id),
            Group(*map(Data, session.pages)),
            Group(*map(Data, conversions)),
        )
    if total.sessions > len(found):
        table.caption = f"{counted(total.sessions - len(found), 'earlier session')} not shown"
        table.caption_justify = "left"
    return Group(Data(sentence, "bold"), table)


def values(field: str, found: Sequence[FilterValue]) -> RenderableType:
    """Return a table of a filter's values, in the order given."""
    if not found:
        return Data(f"no value of {field} is stored for this question", "yellow")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(field.replace("_", " "))
    table.add_column("sessions", justify="right")
    for each in found:
        table.add_row(Data(each.value), f"{each.sessions:,}")
    return table


def _totals(totals: dict[str, int]) -> Text:
    sentence = Text(
        f"{counted(totals['total_sessions'], 'session')} of {counted(totals['total_users'], 'user')}; "
        f"{counted(totals['total_conversion_events'], 'conversion')} of "
        f"{counted(totals['total_conversion_users'], 'user')}"
    )
    sentence.highlight_regex(r"[\d,]+", "bold")
    return sentence


def _balance(balance: dict[str, dict[str, int]]) -> Table:
    table = Table(title="How the sessions add up", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("sessions that are")
    for column in ("sessions", "users"):
        table.add_column(column, justify="right")
    for name, count in balance.items():
        table.add_row(name.replace("_", " "), f"{count['sessions']:,}", f"{count['users']:,}")
    return table


def _pages(title: str, pages: list[dict[str, object]], roles: tuple[str, ...], rows: int, omitted: int) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("page")
    landing = (LANDING,) if any(LANDING in page for page in pages) else ()
    for heading_ in (*map(heading, roles), *("landed here" for _ in landing)):
        table.add_column(heading_, justify="right")
    for page in pages[:rows]:
        counts = [cast("dict[str, int]", page[name]) for name in (*roles, *landing)]
        table.add_row(Data(str(page["url"])), *(_cell(count) for count in counts))
    left = max(len(pages) - rows, 0) + omitted
    more = f"; {counted(left, 'more page')}" if left else ""
    table.caption = f"sessions (users){more}"
    table.caption_justify = "left"
    return table


def _cell(count: dict[str, int]) -> Text:
    users = f" ({count['users']:,})"
    return Text.assemble(f"{count['sessions']:,}", (users, "dim"), style="" if count["sessions"] else "dim")


def keys(records: list[ApiKey], last_uses: Mapping[str, datetime]) -> Table:
    """Return a table of keys, in the order given, with when each was last used."""
    table = Table(box=box.SIMPLE_HEAD)
    # An id is copied, and a day is read: they stay whole at any width.
    table.add_column("id", no_wrap=True, min_width=KEY_ID_WIDTH)
    for column in ("name", "domain", "may"):
        table.add_column(column)
    for column in ("created", "last used", "expires", "revoked"):
        table.add_column(column, min_width=_DAY_WIDTH if column == "created" else None)
    for record in records:
        domain = Data("all domains", "italic") if record.all_domains else Data(record.domain)
        instants = (record.created_at, last_uses.get(record.id), record.expires_at, record.revoked_at)
        times = [f"{at:%Y-%m-%d %H:%M}" if at else "" for at in instants]
        table.add_row(Data(record.id), Data(record.name), domain, Data(", ".join(record.permissions)), *times)
    return table


def quotas(records: list[DomainQuota]) -> Table:
    """Return a table of quotas with this month's requests, in the order given."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("domain")
    table.add_column("requests this month", justify="right")
    table.add_column("quota", justify="right")
    for record in records:
        table.add_row(Data(record.domain), f"{record.used:,}", f"{record.limit:,}")
    return table


def deeds(found: list[Deed]) -> Table:
    """Return a table of deeds, in the order given."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("time", "what", "by", "domain", "key", "details"):
        table.add_column(column)
    for deed in found:
        details = ", ".join(f"{name} {value}" for name, value in deed.details.items())
        shown = (f"{deed.at:%Y-%m-%d %H:%M:%S}", deed.action, deed.by, deed.domain, deed.key_id, details)
        table.add_row(*map(Data, shown))
    return table


def status(found: Status, *, rows: int) -> RenderableType:
    """Return what a store holds and a server keeps of it, with at most `rows` domains of each."""
    held = found.store
    domains = Table(box=box.SIMPLE_HEAD)
    for column, justify in _DOMAIN_COLUMNS:
        domains.add_column(column, justify=justify)
    for one in held.domains[:rows]:
        counts = (one.sessions, one.users, one.converting)
        domains.add_row(
            Data(one.name), *(f"{count:,}" for count in counts), f"{one.first:%Y-%m-%d}", f"{one.last:%Y-%m-%d}"
        )
    if len(held.domains) > rows:
        domains.caption = counted(len(held.domains) - rows, "more domain")
        domains.caption_justify = "left"
    parts = Table(box=box.SIMPLE_HEAD)
    parts.add_column("table")
    for column in ("parts", "rows", "on disk"):
        parts.add_column(column, justify="right")
    for table in held.tables:
        parts.add_row(Data(table.name), f"{table.parts:,}", f"{table.rows:,}", filesize.decimal(table.bytes))
    whole = sum(table.bytes for table in held.tables)
    lines = [Data(f"{held.engine}, ClickHouse {held.version}, schema {held.schema}, {filesize.decimal(whole)} on disk")]
    if held.cut_short:
        lines.append(Data(f"cut short: {held.cut_short:,}; run `pageroles check --repair`", "yellow"))
    if held.damaged:
        lines.append(Data(f"damaged: {counted(len(held.damaged), 'part')}; run `pageroles check`", "red"))
    memory = [_memory(found.memory, rows)] if found.memory else []
    return Group(*lines, domains if held.domains else Text("\nno sessions are stored\n"), parts, *memory)


def _memory(memory: Memory, rows: int) -> Table:
    """Return what is kept in memory."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("in memory")
    for column in ("sessions", "bytes"):
        table.add_column(column, justify="right")
    for one in memory.domains[:rows]:
        table.add_row(Data(one.name), f"{one.sessions:,}", filesize.decimal(one.bytes))
    taken = sum(one.bytes for one in memory.domains)
    table.caption = (
        f"{counted(len(memory.domains), 'domain')}, {filesize.decimal(taken)} of {filesize.decimal(memory.budget)}"
    )
    table.caption_justify = "left"
    return table


_DOMAIN_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("domain", "left"), ("sessions", "right"), ("users", "right"), ("converting", "right"), ("first", "left"),
    ("last", "left"),
)  # fmt: skip


def settings(found: list[Setting]) -> Table:
    """Return a table of settings, in the order given."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("variable", no_wrap=True, min_width=max(len(one.variable) for one in found))
    for column in ("option", "value", "from", "commands"):
        table.add_column(column)
    for one in found:
        table.add_row(*map(Data, (one.variable, one.option, one.value, one.source, ", ".join(one.commands) or "all")))
    return table


def findings(found: list[Finding], left: list[Finding] | None) -> Table:
    """Return a table of what was found in a store.

    Args:
        found: A finding for each kind; kinds without faults are left out.
        left: The same after mending; None where nothing was to be mended.
    """
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("kind")
    table.add_column("found", justify="right")
    if left is not None:
        table.add_column("left", justify="right")
    table.add_column("what is wrong")
    table.add_column("for example")
    after = {finding.name: finding for finding in left or ()}
    for finding in found:
        rest = after.get(finding.name, finding)
        if finding.count or rest.count:
            counts = [f"{finding.count:,}", *([f"{rest.count:,}"] if left is not None else [])]
            examples = Group(*map(Data, rest.examples or finding.examples))
            table.add_row(finding.name, *counts, Data(finding.sentence), examples)
    return table
