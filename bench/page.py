"""BENCHMARKS.md: a section for each command that measures, each written by its own."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "BENCHMARKS.md"
HEADING = "\n## "


def write(title: str, text: str, page: Path = PAGE) -> None:
    """Replace the section `title`, or append it; the other ones stay."""
    begin, *sections = page.read_text().split(HEADING)
    texts = {name: body for name, _, body in (section.partition("\n") for section in sections)}
    texts[title] = text
    parts = [begin.strip(), *(f"## {name}\n\n{body.strip()}" for name, body in texts.items())]
    page.write_text("\n\n".join(parts) + "\n")
