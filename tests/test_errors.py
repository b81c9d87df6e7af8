"""The tree of errors is as the docstring draws it."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pageroles
from pageroles import errors
from pageroles.errors import PagerolesError

_LINE = re.compile(r"(?P<indent>[│ ]*)[├└]── (?P<name>\w+) ")


def drawn() -> dict[str, str]:
    """Return the parent of each error in the docstring's tree."""
    path, parents = ["PagerolesError"], {}
    for line in (errors.__doc__ or "").splitlines():
        if match := _LINE.match(line):
            depth = 1 + len(match["indent"]) // 4
            path[depth:] = [match["name"]]
            parents[match["name"]] = path[depth - 1]
    return parents


def defined(base: type[PagerolesError]) -> dict[str, str]:
    """Return the parent of each error below one."""
    parents = {each.__name__: base.__name__ for each in base.__subclasses__()}
    for each in base.__subclasses__():
        parents |= defined(each)
    return parents


def test_the_docstring_draws_every_error_of_the_package_at_its_place() -> None:
    for module in pkgutil.walk_packages(pageroles.__path__, "pageroles."):
        importlib.import_module(module.name)
    assert drawn() == defined(PagerolesError)
    assert "QuotaExceededError" in drawn()
