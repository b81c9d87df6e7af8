"""Short ways to make sessions and ask about them, for tests that show one thing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from support.reference import Conversion, Erase, Session, report

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2025, 7, 20, 12, 30, 15, 999_000, tzinfo=UTC)
JULY = {"start_date": "2025-07-01", "end_date": "2025-07-31"}


def session(
    name: str,
    user: str = "u1",
    started_at: str = "2025-07-03T10:00:00Z",
    views: Sequence[str | tuple[str, str]] = ("/",),
    conversions: Sequence[Conversion] = (),
    **traffic: str,
) -> Session:
    """Make a session; the n-th view without a time of its own is n - 1 minutes after ten."""
    page_views = [
        (view, f"2025-07-03T10:{minute:02}:00Z") if isinstance(view, str) else view for minute, view in enumerate(views)
    ]
    made: Session = {
        "domain": "a.com",
        "session_id": name,
        "user_id": user,
        "started_at": started_at,
        "page_views": [{"url": url, "viewed_at": at} for url, at in page_views],
        "conversions": list(conversions),
    }
    return made | traffic  # type: ignore[return-value]


def conversion(url: str = "", at: str = "10:59:00", kind: str = "custom", name: str = "") -> Conversion:
    return {"url": url, "type": kind, "id": name, "occurred_at": f"2025-07-03T{at}Z"}


def ask(deliveries: Sequence[Session | Erase], **request: str) -> dict[str, Any]:
    return report(deliveries, "a.com", JULY | request, NOW)


def included(deliveries: Sequence[Session | Erase], **request: str) -> set[str]:
    """Tell which sessions a request includes: each session's only page is named after it."""
    answer = ask([it if isinstance(it, Erase) else _on_own_page(it) for it in deliveries], **request)
    rows = [*answer.get("conversion_performance", []), *answer.get("drop_off_performance", [])]
    return {
        row["url"][1:]
        for row in rows
        if row.get("landing_assisted_conversion", row.get("landing_assisted_drop_off"))["sessions"]
    }


def _on_own_page(session: Session) -> Session:
    return {**session, "page_views": [{"url": f"/{session['session_id']}", "viewed_at": session["started_at"]}]}


def roles(deliveries: Sequence[Session | Erase], **request: str) -> dict[str, dict[str, int]]:
    """Return the sessions of each page in each role, zeros left out."""
    answer = ask(deliveries, **request)
    counts: dict[str, dict[str, int]] = {}
    for row in [*answer.get("conversion_performance", []), *answer.get("drop_off_performance", [])]:
        for role, count in row.items():
            if role != "url" and count["sessions"]:
                counts.setdefault(role, {})[row["url"]] = count["sessions"]
    return counts


def row(url: str, side: tuple[str, ...], *counts: tuple[int, int]) -> dict[str, Any]:
    return {"url": url} | {role: {"sessions": s, "users": u} for role, (s, u) in zip(side, counts, strict=True)}
