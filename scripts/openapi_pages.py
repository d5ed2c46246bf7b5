"""Writes docs/openapi.json and docs/openapi-images.json from the routes and what they name: `make docs`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from breezeblock.api.openapi import served

DOCS = Path(__file__).resolve().parents[1] / "docs"

PAGES: dict[Path, Callable[[], dict[str, Any]]] = {
    DOCS / "openapi.json": served.published,
    DOCS / "openapi-images.json": served.published_images,
}


def text(document: dict[str, Any]) -> str:
    """As it is published: lines short enough to be compared."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for page, make in PAGES.items():
        page.write_text(text(make()))
