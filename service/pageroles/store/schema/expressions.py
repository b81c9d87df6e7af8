r"""SQL that migrations share: the canonical page of a URL, and what a referrer tells (docs/semantics.md).

The list of public suffixes stands in the expression itself, as a constant. So a row has the same source whoever wrote
it, and the store needs no table, dictionary or privilege for it (docs/decisions/0027-public-suffixes.md).
"""

from __future__ import annotations

import collections
import functools
import importlib.resources
import re
import textwrap
from typing import NamedTuple

# Of a label, and of a host with a port: ASCII letters, digits, hyphens and underscores, and whatever is not ASCII.
_LABEL = r"([0-9A-Za-z_-]|[^\\x00-\\x7F])+"
_HOST_AND_PORT = rf"^{_LABEL}(\\.{_LABEL})+\\.?(:[0-9]*)?$"
_APP = r"^([Aa][Nn][Dd][Rr][Oo][Ii][Dd]|[Ii][Oo][Ss])-[Aa][Pp][Pp]://"
_WEB = r"^[Hh][Tt][Tt][Pp][Ss]?://"

# An exception prevails over all other rules: it counts so many labels more, which is more than any of them has.
_EXCEPTION = 16


_PLAIN, _WILDCARD, _BELOW_EXCEPTION = 1, 2, 4


class PublicSuffixes(NamedTuple):
    """The public suffix list.

    Attributes:
        date: The day that it is of, `YYYY-MM-DD`.
        kinds: Of each name that a rule names, which rules do, as a sum: 1 the name itself (`co.uk`), 2 a wildcard below
            it (`ck` of `*.ck`), 4 an exception from one (`www.ck` of `!www.ck`).
    """

    date: str
    kinds: dict[str, int]

    @property
    def labels(self) -> int:
        """Return the most labels that a public suffix has."""
        return max(name.count(".") + (2 if kind & _WILDCARD else 1) for name, kind in self.kinds.items())


@functools.cache
def public_suffixes() -> PublicSuffixes:
    """Return the list that comes with this version of pageroles."""
    text = importlib.resources.files(__package__).joinpath("public_suffixes.txt").read_text(encoding="utf-8")
    version = re.search(r"^// VERSION: (\d{4}-\d{2}-\d{2})", text, re.MULTILINE)
    if version is None:
        raise ValueError("public_suffixes.txt does not say of what day it is")
    kinds: dict[str, int] = {}
    for rule in text.splitlines():
        if rule and not rule.startswith("//"):
            kind = {"*": _WILDCARD, "!": _BELOW_EXCEPTION}.get(rule[0], _PLAIN)
            name = rule.lstrip("!").removeprefix("*.")
            kinds[name] = kinds.get(name, 0) | kind
    return PublicSuffixes(version[1], kinds)


def canonical(url: str) -> str:
    """Return the SQL of the canonical page of a URL, given as an SQL expression.

    `cutFragment` comes first: `cutQueryString` alone, or `cutQueryStringAndFragment`, leaves `#y` of `/p#y?z`.
    """
    cut = f"trimRight(cutQueryString(cutFragment({url})), '/')"
    return f"if(empty({cut}), '/', {cut})"


def host(url: str) -> str:
    """Return the SQL of the host of a web URL in lower case, without a trailing dot.

    It is empty for a host of one label, for one that ends in a number, as every form of an IPv4 address does, for an
    IPv6 address, and for what can't be a host.

    Args:
        url: The name of a lambda's argument or of a column.
    """
    return f"""arrayMap(host_and_port -> if(
            match(host_and_port, '{_HOST_AND_PORT}') AND isValidUTF8(host_and_port)
                AND NOT match(host_and_port, '\\\\.([0-9]+|0[Xx][0-9A-Fa-f]*)\\\\.?(:[0-9]*)?$'),
            trimRight(lowerUTF8(substringIndex(host_and_port, ':', 1)), '.'), ''),
        [if(match({url}, '{_WEB}'), substringIndex({_authority(url)}, '@', -1), '')])[1]"""


def registrable_domain(host: str) -> str:
    """Return the SQL of the registrable domain of a host by the public suffix list; empty for a bare public suffix.

    It holds the whole list, about 145 KB; a statement may have 256 KiB. Map it over the hosts of a row, so that it
    stands there once.

    Args:
        host: As `host` gives it; the name of a lambda's argument or of a column.
    """
    suffixes = public_suffixes()
    by_kind = sorted(suffixes.kinds, key=lambda name: (suffixes.kinds[name], name))
    names = textwrap.fill(" ".join(by_kind), width=120, break_long_words=False, break_on_hyphens=False)
    counts = collections.Counter(suffixes.kinds.values())
    kinds = ", ".join(f"arrayWithConstant({counts[kind]}, {kind})" for kind in sorted(counts))
    # Of each end of the host, from one label up: how long a suffix the rules of that name make. A domain is one label
    # longer; where there is none, the host itself is a suffix.
    return f"""arrayMap(ends -> ends[1 + bitAnd({_EXCEPTION - 1}, arrayMax(arrayMap(
            (kind, labels) -> multiIf(
                kind = {_BELOW_EXCEPTION}, labels + {_EXCEPTION - 1},
                bitAnd(kind, {_WILDCARD}) AND labels < length(ends), labels + 1,
                bitAnd(kind, {_PLAIN}), labels,
                1),
            arrayMap(end -> transform(end, splitByWhitespace('
{names}
                '),
                arrayConcat({kinds}), 0), ends),
            arrayEnumerate(ends))))],
        [arrayMap(labels -> substringIndex({host}, '.', -labels),
            range(1, least(countSubstrings({host}, '.'), {suffixes.labels}) + 2))])[1]"""


def referrer_domain() -> str:
    """Return the SQL of what the referrer of a session tells; empty: nothing."""
    # The first view in order of viewing; where several came together, the first of them in the list.
    landing_url = "page_views.url[indexOf(page_views.viewed_at, arrayMin(page_views.viewed_at))]"
    return f"""if(
        match(referrer, '{_APP}'),
        arrayMap(app -> if(isValidUTF8(app), app, ''), [{_authority("referrer")}])[1],
        -- Of the referrer, the landing page and the site itself.
        arrayMap(domains -> if(domains[1] IN (domains[2], domains[3]), '', domains[1]), [
            arrayMap(host -> {registrable_domain("host")},
            arrayMap(url -> {host("url")},
            if(referrer = '', emptyArrayString(), [referrer, {landing_url}, 'http://' || domain])))
        ])[1])"""


def _authority(url: str) -> str:
    """Return the SQL of what stands between `://` and the next of `/?#`."""
    cut = f"substring({url}, position({url}, '://') + 3)"
    for end in "/?#":
        cut = f"substringIndex({cut}, '{end}', 1)"
    return cut
