"""The tables of filters and roles are what the contract has, and what all others show."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from pageroles.question.filters import FILTERS, Condition, Filter, Of
from pageroles.question.model import TouchScope
from pageroles.question.request import SCOPES, to_query, to_request
from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES, heading
from pageroles.report.statements import Reading, conversions, key_ranges, sessions
from pageroles.store.statement import Statement
from pageroles.transport import openapi
from pageroles.v1 import pages_pb2
from support import reference

if TYPE_CHECKING:
    from pageroles.store.store import Store

NO_FILTERS = {"start_date", "end_date", "touch_scope", "limit", "include"}
NOW = datetime(2025, 8, 1, tzinfo=UTC)
NAMES = [each.name for each in FILTERS]


def test_the_filters_are_those_of_the_contract_in_its_order() -> None:
    fields = [field.name for field in pages_pb2.PagesRequest.DESCRIPTOR.fields]
    assert [name for name in fields if name not in NO_FILTERS] == NAMES


def test_every_filter_has_its_column(store: Store) -> None:
    text = "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
    columns = set(store.rows(Statement(text), store.call(30)))
    for each in FILTERS:
        column = each.column if each.of is Of.SESSION else f"conversions.{each.column}"
        assert {("sessions", column), ("converting_sessions", column)} <= columns, each.name


def test_roles_are_those_of_the_contract_and_have_a_heading() -> None:
    assert (CONVERSION_ROLES, DROP_OFF_ROLES) == (reference.CONVERSION_ROLES, reference.DROP_OFF_ROLES)
    assert {heading(role) for role in CONVERSION_ROLES + DROP_OFF_ROLES} == {
        "conversion", "drop-off", "assist", "landing",
    }  # fmt: skip
    assert heading("a_new_role") == "a new role"


def test_scopes_are_those_of_the_contract() -> None:
    names = [value.name.removeprefix("TOUCH_SCOPE_") for value in pages_pb2.TouchScope.DESCRIPTOR.values]
    assert [scope.upper() for scope in SCOPES] == [scope.name for scope in TouchScope] == names[1:]


def test_the_command_and_the_reference_show_every_filter() -> None:
    command = [str(Path(sys.executable).with_name("pageroles")), "report", "--help"]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    ).stdout
    properties = msgspec.json.decode(openapi.document())["components"]["schemas"]["PagesBody"]["properties"]
    for each in FILTERS:
        assert f"--{each.name.replace('_', '-')} " in shown
        assert properties[each.name]["description"] == each.help
        assert properties[each.name]["examples"] == [each.example]


def test_parameters_may_be_left_out_of_what_is_generated_from_the_reference() -> None:
    """A default would make generators of clients demand the parameter."""
    body = msgspec.json.decode(openapi.document())["components"]["schemas"]["PagesBody"]
    assert "required" not in body or body["required"] == []
    assert not [name for name, form in body["properties"].items() if "default" in form]


@pytest.mark.parametrize("each", FILTERS, ids=NAMES)
def test_a_filter_that_is_set_is_a_condition_and_a_bound_value(each: Filter) -> None:
    query = to_query(to_request({each.name: "it's"}), "a.com", NOW)
    assert query.conditions == (Condition(each, "it's"),)
    keys = key_ranges(1)[0]
    for statement in (sessions(query, keys, Reading()), conversions(query, keys, Reading())):
        if statement is not None:
            assert statement.parameters[each.name] == "it's"
            assert "it's" not in statement.text
    text = conversions(query, keys, Reading()).text
    assert f"{{{each.name}:String}}" in text


def test_a_filter_that_is_added_to_the_table_is_asked_in_sql() -> None:
    added = Filter("country", Of.SESSION, column="country", help="The country.", label="Country", example="NL")
    query = to_query(to_request({}), "a.com", NOW)
    query = dataclasses.replace(query, conditions=(Condition(added, "NL"),))
    statement = sessions(query, key_ranges(1)[0], Reading())
    assert statement is not None
    assert "s.country = {country:String}" in statement.text
    assert statement.parameters["country"] == "NL"
