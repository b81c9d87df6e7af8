"""The explorer's copy of what the contract and its tables name: `web/contract.js`, which `make proto` writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pageroles.question import terms
from pageroles.question.filters import FILTERS
from pageroles.question.request import SCOPES
from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEAD = "// Written by `make proto` from the contract and the table of filters. Do not edit.\n"


def contract_module() -> str:
    """Return the ES module that gives the explorer its filters, scopes and roles.

    It exports `FILTERS` (name, of, label, example, hint; in the order of the contract), `SCOPES` (the default first),
    `ROLES` (by side) and `TERMS` (totals and rates), each of these with name, label and meaning.
    """
    filters = (
        {"name": each.name, "of": each.of.value, "label": each.label, "example": each.example, "hint": each.hint}
        for each in FILTERS
    )
    scopes = (_said(name, terms.of_scope(name)) for name in SCOPES)
    sides = {"conversion": CONVERSION_ROLES, "drop_off": DROP_OFF_ROLES}
    roles = "".join(
        f"  {side}: [\n{_lines((_said(role, terms.of_role(role)) for role in named), 4)}  ],\n"
        for side, named in sides.items()
    )
    words = (_said(name, term) for name, term in terms.TERMS.items())
    return (
        f"{_HEAD}\n"
        f"export const FILTERS = [\n{_lines(filters, 2)}];\n\n"
        f"export const SCOPES = [\n{_lines(scopes, 2)}];\n\n"
        f"export const ROLES = {{\n{roles}}};\n\n"
        f"export const TERMS = [\n{_lines(words, 2)}];\n"
    )


def _said(name: str, term: terms.Term) -> dict[str, str]:
    return {"name": name, "label": term.label, "meaning": term.meaning}


def _lines(objects: Iterable[Mapping[str, str]], margin: int) -> str:
    """Return objects of JavaScript, one a line."""
    texts = (", ".join(f"{name}: {_text(value)}" for name, value in each.items()) for each in objects)
    return "".join(f"{' ' * margin}{{ {text} }},\n" for text in texts)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
