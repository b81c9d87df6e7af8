"""What the contestants' queries have in common: the ready columns of the drop-off roles."""

from __future__ import annotations

# Each drop-off role and the column with its page.
KEYS = ((1, "exit_key"), (2, "before_exit_key"), (3, "landing_key"))


def union_of_roles(form: str) -> str:
    """Repeat the SQL of one role for each, with `KEY` and `ROLE` filled in."""
    return "\n    UNION ALL\n    ".join(form.replace("KEY", key).replace("ROLE", str(role)) for role, key in KEYS)
