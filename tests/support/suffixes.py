"""Writes the file of public suffixes that the store's schema carries, from the package that this project pins.

`make suffixes` runs it; a test holds that the file is what it writes.
"""

from __future__ import annotations

import importlib.resources
import itertools
import re
from pathlib import Path

import pageroles.store.schema

FILE = Path(pageroles.store.schema.__file__).parent / "public_suffixes.txt"
_HEAD = """\
// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

// The rules of the public suffix list (https://publicsuffix.org/list/), both sections, without its comments, in order,
// internationalized labels in both spellings. Rules of one label are left out: the default rule says the same.
// Made by `make suffixes`; do not edit.

// VERSION: {version}
// COMMIT: {commit}

"""


def published() -> str:
    """Return the list as it is published."""
    return (importlib.resources.files("publicsuffixlist") / "public_suffix_list.dat").read_text(encoding="utf-8")


def written(text: str) -> str:
    """Return what the schema carries of a published list."""
    said = dict(re.findall(r"^// (VERSION|COMMIT): (\S+)$", text, re.MULTILINE))
    rules = [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("//")]
    spelled = {spelling for rule in rules if "." in rule for spelling in _spellings(rule)}
    return _HEAD.format(version=said["VERSION"], commit=said["COMMIT"]) + "".join(f"{it}\n" for it in sorted(spelled))


def _spellings(rule: str) -> list[str]:
    """Return a rule with each label that is not ASCII both as it is and in punycode, in every combination."""
    labels = [
        {label} if label.isascii() else {label, f"xn--{label.encode('punycode').decode('ascii')}"}
        for label in rule.split(".")
    ]
    return [".".join(chosen) for chosen in itertools.product(*labels)]


if __name__ == "__main__":
    FILE.write_text(written(published()), encoding="utf-8")
