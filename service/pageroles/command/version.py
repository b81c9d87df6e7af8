"""`pageroles version`: print versions."""

from __future__ import annotations

import platform
import sys

import typer

from pageroles import __version__
from pageroles.store import schema

app = typer.Typer(add_completion=False)


@app.command()
def version() -> None:
    """Print the versions of pageroles, of the schema that it needs, and of Python."""
    sys.stdout.write(f"pageroles {__version__}\nschema {schema.latest()}\npython {platform.python_version()}\n")
