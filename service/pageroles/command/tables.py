"""Answers, keys and quotas as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES, heading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pageroles.access.keys import ApiKey
    from pageroles.access.quotas import DomainQuota
    from pageroles.client import Answer
    from pageroles.store.damage import Finding


def answer(body: Answer, *, rows: int) -> RenderableType:
    """Return an answer's window, totals and two tables of at most `rows` pages each; or its message."""
    if "message" in body:
        return Text(body["message"], style="yellow")
    frame, totals = body["time_frame"], body["summary_totals"]
    return Group(
        Text.assemble((frame["start"], "bold"), " to ", (frame["end"], "bold")),
        Text.assemble(
            (f"{totals['total_sessions']:,}", "bold"), " sessions of ",
            (f"{totals['total_users']:,}", "bold"), " users; ",
            (f"{totals['total_conversion_events']:,}", "bold"), " conversions of ",
            (f"{totals['total_conversion_users']:,}", "bold"), " users",
        ),
        Text(),
        _pages("Where people convert, and what leads there", body["conversion_performance"], CONVERSION_ROLES, rows),
        Text(),
        _pages("Where people leave, and what leads there", body["drop_off_performance"], DROP_OFF_ROLES, rows),
    )  # fmt: skip


def _pages(title: str, pages: list[dict[str, object]], roles: tuple[str, ...], rows: int) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("page", overflow="fold")
    for role in roles:
        table.add_column(heading(role), justify="right")
    for page in pages[:rows]:
        counts = [cast("dict[str, int]", page[role]) for role in roles]
        table.add_row(str(page["url"]), *(_cell(count) for count in counts))
    more = f"; {len(pages) - rows:,} more pages" if len(pages) > rows else ""
    table.caption = f"sessions (users){more}"
    table.caption_justify = "left"
    return table


def _cell(count: dict[str, int]) -> Text:
    users = f" ({count['users']:,})"
    return Text.assemble(f"{count['sessions']:,}", (users, "dim"), style="" if count["sessions"] else "dim")


def keys(records: list[ApiKey]) -> Table:
    """Return a table of keys, in the order given."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("id", "domain", "created", "revoked"):
        table.add_column(column)
    for record in records:
        domain: Any = Text("all domains", style="italic") if record.all_domains else Text(record.domain)
        revoked = f"{record.revoked_at:%Y-%m-%d %H:%M}" if record.revoked_at else ""
        table.add_row(record.id, domain, f"{record.created_at:%Y-%m-%d %H:%M}", revoked)
    return table


def quotas(records: list[DomainQuota]) -> Table:
    """Return a table of quotas with this month's requests, in the order given."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("domain")
    table.add_column("requests this month", justify="right")
    table.add_column("quota", justify="right")
    for record in records:
        table.add_row(record.domain, f"{record.used:,}", f"{record.limit:,}")
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
    table.add_column("what is wrong", overflow="fold")
    table.add_column("for example", overflow="fold")
    after = {finding.name: finding for finding in left or ()}
    for finding in found:
        rest = after.get(finding.name, finding)
        if finding.count or rest.count:
            counts = [f"{finding.count:,}", *([f"{rest.count:,}"] if left is not None else [])]
            # What comes from the store is text, never markup.
            examples = Text("\n".join(rest.examples or finding.examples))
            table.add_row(finding.name, *counts, finding.sentence, examples)
    return table
