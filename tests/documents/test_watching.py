"""The table of metrics, the dashboard and the alerts name what is exported, all of it and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import promql_parser
import pytest
import requests
import yaml

from pageroles.access.keys import KeyStore, Permission
from pageroles.access.quotas import QuotaStore
from pageroles.errors import Status
from pageroles.telemetry.metrics import Metrics
from pageroles.telemetry.record import Telemetry
from pageroles.transport import rest_sessions
from support import worked
from support.endless import until
from support.fakes import session
from support.watched import SECONDS, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pageroles.store.store import Store

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yml").read_text())
# Prometheus's own: of each target, whether it answers; and the labels that it adds.
UP = "up"
ADDED = {"job", "instance"}
# A process's own come from the client's library, and differ from system to system.
LIBRARYS = ("process_", "python_gc_")


@pytest.fixture(scope="module")
def exported(store: Store) -> dict[str, dict[str, set[str]]]:
    """The values of each label, by the name of each series, of a server that was asked in all ways."""
    with watched(store, Telemetry(Metrics())) as server:
        QuotaStore(store).set(worked.DOMAIN, 1000)
        server.service.reread()
        server.ask()
        server.stream()
        server.post()
        with pytest.raises(grpc.RpcError):
            server.ask("no key")
        key, _ = KeyStore(store).create(worked.DOMAIN, permissions=[Permission.WRITE])
        written = {"Authentication": key, "Content-Type": rest_sessions.MEDIA_TYPE}
        body = session("w1", domain=worked.DOMAIN)
        requests.post(server.http + rest_sessions.PATH, data=body, headers=written, timeout=SECONDS)
        QuotaStore(store).set(worked.DOMAIN, None)
        assert until(lambda: server.value("grpc_server_handled_total") == 3)
        found: dict[str, dict[str, set[str]]] = {}
        for family in server.families().values():
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for name, value in sample.labels.items():
                    labels.setdefault(name, set()).add(value)
        return found


def bare(series: str) -> str:
    """Return the name of a metric without what a histogram's series end with."""
    return re.sub(r"_(bucket|count|sum)$", "", series)


def test_the_table_has_all_metrics_with_their_labels(exported: dict[str, dict[str, set[str]]]) -> None:
    page = (ROOT / "docs" / "watching.md").read_text()
    table: dict[str, set[str]] = {}
    for row in re.findall(r"^\| `((?:grpc|http|pageroles)_\w+)` \|([^|]*)\|", page, re.MULTILINE):
        name, labels = row
        table[name] = set(re.findall(r"`(\w+)`", labels))
        if "the same" in labels:
            table[name] |= table["grpc_server_started_total"]
    there = {bare(name): set(labels) - {"le"} for name, labels in exported.items() if not name.startswith(LIBRARYS)}
    assert table == there


def test_the_table_names_all_values_of_closed_labels(exported: dict[str, dict[str, set[str]]]) -> None:
    page = (ROOT / "docs" / "watching.md").read_text()
    for label in ("reason", "outcome", "kind", "stage", "source"):
        values = set().union(*(labels.get(label, set()) for labels in exported.values()))
        assert values
        assert not [value for value in values if f"`{value}`" not in page], label


def panels() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def rules() -> Iterator[tuple[str, str]]:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def selectors(node: Any) -> Iterator[Any]:
    """Give the selectors of series within an expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def grouped(node: Any) -> Iterator[str]:
    """Give the labels that an expression groups by."""
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        yield from node.modifier.labels
    for name in ("expr", "lhs", "rhs", "param"):
        if (inner := getattr(node, name, None)) is not None:
            yield from grouped(inner)
    for inner in getattr(node, "args", None) or ():
        yield from grouped(inner)


def parsed(expression: str) -> Any:
    """Parse PromQL, with values in place of Grafana's variables."""
    return promql_parser.parse(re.sub(r"\$__(rate_interval|range)", "5m", expression))


@pytest.mark.parametrize(("title", "expression"), [*panels(), *rules()])
def test_what_is_asked_of_prometheus_is_exported(
    title: str, expression: str, exported: dict[str, dict[str, set[str]]]
) -> None:
    found = list(selectors(parsed(expression)))
    assert found, title
    labels = ADDED.union(*(exported.get(each.name, {}) for each in found))
    for each in found:
        assert each.name in exported or each.name == UP, f"{title}: {each.name} is not exported"
        for matcher in each.matchers.matchers:
            known = exported.get(each.name, {}).get(matcher.name)
            assert known is not None or matcher.name in ADDED, f"{title}: {each.name} has no label {matcher.name}"
            if matcher.name == "grpc_code":
                known = {status.name for status in Status}
            if known and matcher.name not in {*ADDED, "http_response_status_code"}:
                for value in matcher.value.split("|"):
                    assert any(re.fullmatch(value, one) for one in known), f"{title}: {matcher.name} is never {value}"
    assert set(grouped(parsed(expression))) <= labels, title


def test_the_dashboard_shows_all_metrics(exported: dict[str, dict[str, set[str]]]) -> None:
    shown = {bare(each.name) for _, expression in panels() for each in selectors(parsed(expression))}
    ours = {bare(name) for name in exported if not name.startswith(LIBRARYS)}
    assert ours <= shown


def test_legends_name_labels_that_are_there(exported: dict[str, dict[str, set[str]]]) -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            labels = set(grouped(parsed(target["expr"]))) or ADDED.union(
                *(exported[each.name] for each in selectors(parsed(target["expr"])))
            )
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


def test_panels_have_an_id_and_a_place_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_each_alert_says_what_it_means() -> None:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"]["summary"]


@pytest.mark.parametrize("expression", ["no_such_metric", 'pageroles_requests_at_work{no_such_label="x"}'])
def test_what_is_not_exported_is_found(expression: str, exported: dict[str, dict[str, set[str]]]) -> None:
    with pytest.raises(AssertionError):
        test_what_is_asked_of_prometheus_is_exported("", expression, exported)
