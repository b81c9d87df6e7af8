"""Find the sessions of a domain in whichever of its two spellings they are stored: its letters, or its ASCII form.

Domains are compared as they are stored. `münchen.de` and `xn--mnchen-3ya.de` are one name of the domain name system,
and writers store either.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pageroles.store.statement import Statement

if TYPE_CHECKING:
    from pageroles.store.store import Store

_LOOKUP_SECONDS = 5.0

# What marks a label in its ASCII form (RFC 5890), and the most characters of any label (RFC 1035).
_MARK = "xn--"
_LONGEST_LABEL = 63

_MOST_COMPARED = 10_000
_MOST_NAMED = 3
_ALL = "SELECT DISTINCT domain FROM places LIMIT {most:UInt32}"
# Each side stops at the first row that it finds.
_STORED = (
    "SELECT domain FROM (SELECT domain FROM sessions WHERE domain = {given:String} LIMIT 1) UNION ALL "
    "SELECT domain FROM (SELECT domain FROM sessions WHERE domain = {other:String} LIMIT 1)"
)


def other_spelling(domain: str) -> str | None:
    """Return the ASCII form of a domain with other letters, and the letters of an ASCII form; None where it has one.

    Nothing else about the name is changed: it is not put in lower case, nor are its letters put in one form. So each
    spelling is the other one's.
    """
    spell = _with_letters if domain.isascii() else _in_ascii
    labels = [spell(label) for label in domain.split(".")]
    other = ".".join(label for label in labels if label is not None)
    return None if None in labels or other == domain else other


def _in_ascii(label: str) -> str | None:
    if label.isascii():
        return label
    # More letters than a label can have would only take time.
    ascii_form = _MARK + label.encode("punycode").decode() if len(label) <= _LONGEST_LABEL else ""
    return ascii_form if 0 < len(ascii_form) <= _LONGEST_LABEL else None


def _with_letters(label: str) -> str | None:
    if not label.startswith(_MARK) or len(label) > _LONGEST_LABEL:
        return label
    try:
        letters = label.removeprefix(_MARK).encode().decode("punycode")
        letters.encode()
    except UnicodeError:  # no punycode, or half of a character
        return label
    return letters if _in_ascii(letters) == label else label


class StoredDomains:
    """Looks up which domains have sessions, and which spelling of one."""

    def __init__(self, store: Store) -> None:
        """Look in `store`."""
        self._store = store

    def stored(self, domain: str) -> str:
        """Return the domain as it is given, if it has sessions or only one spelling; else the other, if that has some.

        Only names with other letters than ASCII, and ASCII forms of such names, are looked up.

        Raises:
            PagerolesError: ClickHouse can't be reached, or refuses the query.
        """
        other = other_spelling(domain)
        if other is None:
            return domain
        statement = Statement(_STORED, {"given": domain, "other": other})
        found = {str(name) for (name,) in self._store.look_up(statement, _LOOKUP_SECONDS)}
        return other if found == {other} else domain

    def has_sessions(self, domain: str) -> bool:
        """Tell whether sessions are stored of a domain, in either spelling.

        Raises:
            PagerolesError: ClickHouse can't be reached, or refuses the query.
        """
        either = {"given": domain, "other": other_spelling(domain) or domain}
        return bool(self._store.look_up(Statement(_STORED, either), _LOOKUP_SECONDS))

    def nearest(self, domain: str) -> list[str]:
        """Return the stored domains that are spelled most like one, at most three, the nearest first.

        Raises:
            PagerolesError: ClickHouse can't be reached, or refuses the query.
        """
        rows = self._store.look_up(Statement(_ALL, {"most": _MOST_COMPARED}), _LOOKUP_SECONDS)
        by_bare: dict[str, str] = {}
        for (name,) in rows:
            by_bare.setdefault(_bare(str(name)), str(name))
        return [by_bare[bare] for bare in difflib.get_close_matches(_bare(domain), by_bare, n=_MOST_NAMED)]


def _bare(domain: str) -> str:
    """Return a domain without what people write around it: a scheme, a path, capitals, `www.`."""
    name = domain.strip().lower().rpartition("://")[2].partition("/")[0]
    return (other_spelling(name) or name if not name.isascii() else name).removeprefix("www.")
