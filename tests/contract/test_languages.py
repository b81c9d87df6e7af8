"""Clients in other languages, made as proto/README.md says, ask a running server."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from support.contract_page import PROTO, commands, shell

if TYPE_CHECKING:
    from pathlib import Path

    from support.served import Served

pytestmark = pytest.mark.registries

DOMAIN = "languages.example.com"
SIGN_UP, PRICING = "https://example.com/signup", "https://example.com/pricing"


@pytest.fixture(scope="module")
def key(served: Served) -> str:
    row = {
        "domain": DOMAIN,
        "session_id": "s1",
        "user_id": "u1",
        "started_at": "2025-07-03T10:00:00Z",
        "source": "google.com",
        "page_views.url": [f"{PRICING}?ref=x", SIGN_UP],
        "page_views.viewed_at": ["2025-07-03T10:00:00Z", "2025-07-03T10:01:00Z"],
        "conversions.url": [SIGN_UP],
        "conversions.type": ["html_form"],
        "conversions.id": ["f1"],
        "conversions.occurred_at": ["2025-07-03T10:02:00Z"],
    }
    served.insert(json.dumps(row).encode())
    return served.key(DOMAIN)


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


@pytest.mark.parametrize(
    ("language", "needs", "checks"),
    [("Go", "go", "go vet ./..."), ("Node", "npm", "node --check ask.mjs")],
)
def test_a_client_asks(language: str, needs: str, checks: str, copy: Path, served: Served, key: str) -> None:
    if shutil.which(needs) is None:
        reason = f"{needs} is not installed: the contract was not tried in {language}"
        if os.environ.get("PAGEROLES_REQUIRE_LANGUAGES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    environment = {"PAGEROLES_TARGET": served.target, "PAGEROLES_KEY": key}
    folder = copy / "proto/examples" / language.lower()
    shown = shell(f'PATH="{copy}/bin:$PATH"\n{commands(language)}', folder, **environment)
    assert shown.splitlines()[-3:] == ["1", f"{SIGN_UP} 1", f"{PRICING} 0"]
    shell(checks, folder)
