"""The pages lead where they say, and what the next release will say is in order."""

import re
from pathlib import Path

import pytest

from breezeblock.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/README.md")])
FRAGMENTS = sorted(ROOT.glob("changelog.d/*"))
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda fragment: fragment.name)
def test_fragments_are_named_and_written_as_they_should_be(fragment: Path) -> None:
    if fragment.name == "README.md":
        return
    assert re.fullmatch(r"[a-z0-9-]+\.(feature|bugfix|misc)\.md", fragment.name)
    text = fragment.read_text()
    assert text.strip()
    assert not text.startswith(("#", "-", "*")), "plain sentences: the list is made at the release"


def test_every_make_target_in_the_pages_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page


def test_every_command_in_the_pages_is_there() -> None:
    for page in PAGES:
        named = set(re.findall(r"(?:`|\$\(|^    )breezeblock ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= set(COMMANDS), page
