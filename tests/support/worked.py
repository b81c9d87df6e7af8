"""The worked case of docs/semantics.md, as rows of the store."""

from __future__ import annotations

import json

DOMAIN = "rest.example.com"
WORKED = [
    ("s1", "u1", "2025-07-03", ["/", "/features", "/pricing"], []),
    ("s2", "u1", "2025-07-05", ["/pricing?ref=mail", "/signup"], ["/signup"]),
    ("s3", "u1", "2025-07-09", ["/docs", "/docs/"], []),
    ("s4", "u2", "2025-07-06", ["/signup"], ["/signup"]),
]


def rows() -> bytes:
    """Return the sessions in ClickHouse's JSONEachRow."""
    found = [
        {
            "domain": DOMAIN,
            "session_id": session,
            "user_id": user,
            "started_at": f"{day}T10:00:00Z",
            "source": "google.com",
            "page_views.url": urls,
            "page_views.viewed_at": [f"{day}T10:0{minute}:00Z" for minute in range(len(urls))],
            "conversions.url": converted,
            "conversions.type": ["html_form"] * len(converted),
            "conversions.id": ["f"] * len(converted),
            "conversions.occurred_at": [f"{day}T10:09:00Z"] * len(converted),
        }
        for session, user, day, urls, converted in WORKED
    ]
    return "\n".join(map(json.dumps, found)).encode()
