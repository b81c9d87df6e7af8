"""Clients in other languages, made as proto/README.md and docs/rest.md say, ask a running server."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from support.contract_page import PROTO, commands, shell

if TYPE_CHECKING:
    from pathlib import Path

    from support.served import Served

pytestmark = pytest.mark.registries

SIGN_UP, PRICING = "https://example.com/signup", "https://example.com/pricing"


def stored(served: Served, domain: str, day: str) -> str:
    """Store a session, and return a key for its domain."""
    row = {
        "domain": domain,
        "session_id": "s1",
        "user_id": "u1",
        "started_at": f"{day}T10:00:00Z",
        "source": "google.com",
        "page_views.url": [f"{PRICING}?ref=x", SIGN_UP],
        "page_views.viewed_at": [f"{day}T10:00:00Z", f"{day}T10:01:00Z"],
        "conversions.url": [SIGN_UP],
        "conversions.type": ["html_form"],
        "conversions.id": ["f1"],
        "conversions.occurred_at": [f"{day}T10:02:00Z"],
    }
    served.insert(json.dumps(row).encode())
    return served.key(domain)


@pytest.fixture(scope="module")
def key(served: Served) -> str:
    return stored(served, "languages.example.com", "2025-07-03")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the contract and the examples alone, and a `protoc` on the path."""
    ignored = shutil.ignore_patterns("gen", "node_modules")
    shutil.copytree(PROTO, tmp_path / "proto", ignore=ignored)
    protoc = tmp_path / "bin" / "protoc"
    protoc.parent.mkdir()
    protoc.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    return tmp_path


def skip_without(program: str, language: str) -> None:
    if shutil.which(program) is None:
        reason = f"{program} is not installed: the contract was not tried in {language}"
        if os.environ.get("PAGEROLES_REQUIRE_LANGUAGES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.parametrize(
    ("language", "needs", "checks"),
    [("Go", "go", "go vet ./..."), ("Node", "npm", "node --check ask.mjs")],
)
def test_a_client_asks(language: str, needs: str, checks: str, copy: Path, served: Served, key: str) -> None:
    skip_without(needs, language)
    environment = {"PAGEROLES_TARGET": served.target, "PAGEROLES_KEY": key}
    folder = copy / "proto/examples" / language.lower()
    shown = shell(f'PATH="{copy}/bin:$PATH"\n{commands(language)}', folder, **environment)
    assert shown.splitlines()[-3:] == ["1", f"{SIGN_UP} 1", f"{PRICING} 0"]
    shell(checks, folder)


# What a generated client lets its user write, and what it does not.
USES = """
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1" });
client.POST("/api/v1/pages");
client.POST("/api/v1/pages", {});
client.POST("/api/v1/pages", { body: {} });
client.POST("/api/v1/pages", { params: { query: { start_date: "2025-07-01" } } });
client.POST("/api/v1/pages", { params: { header: { Domain: "example.com" } }, body: { term: "x" } });
const scope: components["schemas"]["TouchScope"] = "first";
const body: components["schemas"]["PagesBody"] = { touch_scope: scope };
const none: components["schemas"]["PagesBody"] = {};
export async function ask(): Promise<components["schemas"]["PagesResult"] | components["schemas"]["ErrorCode"]> {
  const { data, error } = await client.POST("/api/v1/pages", { body: { ...none, ...body } });
  return data ?? error.code;
}
// @ts-expect-error
const unknown: components["schemas"]["PagesBody"] = { utm_source: "x" };
// @ts-expect-error
client.POST("/api/v1/pages", { body: { touch_scope: "last" } });
// @ts-expect-error
client.POST("/api/v1/pages", { params: { query: { sauce: "x" } } });
"""


def test_a_client_made_from_openapi_asks(tmp_path: Path, rest_in_process: str, served: Served) -> None:
    skip_without("npm", "TypeScript")
    folder = tmp_path / "typescript"
    shutil.copytree(PROTO.parent / "docs/examples/typescript", folder, ignore=shutil.ignore_patterns("node_modules"))
    key = stored(served, "typescript.example.com", f"{datetime.now(UTC) - timedelta(days=2):%F}")
    environment = {"PAGEROLES_URL": rest_in_process, "PAGEROLES_KEY": key}
    shown = shell(commands("TypeScript", PROTO.parent / "docs/rest.md"), folder, **environment)
    assert shown.splitlines()[-3:] == ["1", f"{SIGN_UP} 1", f"{PRICING} 0"]
    (folder / "ask.ts").write_text(USES)
    shell("npm run --silent check", folder)
