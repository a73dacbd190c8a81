"""The documents hang together: links lead somewhere, pages are listed, decisions have their form."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md"), *(ROOT / "protocols").rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in LINK.findall(text) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts make them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    kept = (
        "".join(c for c in head.lower() if c in " -_" or unicodedata.category(c)[0] in "LN") for head in heads
    )
    return {head.replace(" ", "-") for head in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere_in_the_checkout(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.name}: {target}"
        assert goal.is_relative_to(ROOT), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(goal), f"{page.name}: {target}"


def test_every_page_is_listed_in_the_index() -> None:
    listed = {(DOCS / target).resolve() for target in links(DOCS / "README.md")}
    listed |= {(DOCS / "decisions" / target).resolve() for target in links(DOCS / "decisions" / "README.md")}
    assert {page for page in PAGES if page.name != "CHANGELOG.md"} <= listed | {DOCS / "README.md"}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name[:4])
def test_a_decision_says_context_decision_and_consequences_in_half_a_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    found = re.findall(r"^\*\*(\w+)\.\*\* ", text, re.MULTILINE)
    assert found == ["Context", "Decision", "Consequences"]
    assert len(text.split()) < 300


def test_the_index_gives_each_decision_its_title() -> None:
    index = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in DECISIONS:
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").replace(":", "", 1)
        assert f"[{title}]({page.name})" in index
