"""Files named in pages exist."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import __version__
from pipeline.cli.main import MODULES

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
NAMED = re.compile(r"`((?:pipeline|jobs|scripts|tests|conf|docs)/(?!\S*[A-Z]{3})[\w./-]+)`")
"""Words in capitals stand for names."""

ROOMS = {path.name for path in (ROOT / "pipeline").iterdir() if path.is_dir()}
SHORT = re.compile(rf"`((?:{'|'.join(sorted(ROOMS))})/\w+\.py)`")


def test_links_lead_somewhere() -> None:
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert lost == []


def test_files_that_are_named_exist() -> None:
    lost = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in (*NAMED.findall(page.read_text()), *(f"pipeline/{n}" for n in SHORT.findall(page.read_text())))
        if not (ROOT / name).exists()
    ]
    assert lost == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in folder.glob("0*.md"):
        number, _, title = page.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        assert f"| [{number}]({page.name}) | {title} |" in index


def test_the_changelog_has_its_form_and_the_version_is_its_newest() -> None:
    headings = re.findall(r"(?m)^(##+) (.+)$", (ROOT / "CHANGELOG.md").read_text())
    first, *released = [title for level, title in headings if level == "##"]
    assert first == "[Unreleased]"
    assert [title for title in released if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title)] == []
    assert all(title.startswith(f"[{__version__}]") for title in released[:1])
    kinds = {title for level, title in headings if level == "###"}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    missing = [name for name in MODULES if f"pipeline {name}" not in text and f"`{name}`" not in text]
    assert missing == []
