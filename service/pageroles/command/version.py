"""`pageroles version`."""

from __future__ import annotations

import platform
import sys

import typer

from pageroles import __version__
from pageroles.store import schema

app = typer.Typer()


@app.command()
def version() -> None:
    """Print the versions of pageroles, of the store's schema that it needs, and of Python."""
    sys.stdout.write(f"pageroles {__version__}\nschema {schema.latest()}\npython {platform.python_version()}\n")
