"""Random single bits of random files: each is found, and whatever an origin still serves comes back unchanged."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from types import MappingProxyType

import pytest

from pipeline.model.tables import DERIVED_NAMES
from tests.fsck.conftest import NIGHTS, Restored, Story
from tests.fsck.flips import any_bit, flip

CLASSES = MappingProxyType(
    {
        "data": ("tables/*/*/data/**/[!.]*.parquet", "tables/*/*/data/**/[!.]*.puffin"),
        "metadata": ("tables/*/*/metadata/v*.metadata.json",),
        "manifests": ("tables/*/*/metadata/[!.]*.avro", "runs/*/manifests/*.json"),
        "plans": ("runs/*/plan/*.json", "runs/*/plan/**/[!.]*.parquet"),
    }
)


def round_of_flips(story: Story, before: Restored, folder: Path, seed: int, count: int) -> Counter[str]:
    """Flip one bit in each of ``count`` files, from all classes evenly; return their fates by class."""
    chance = random.Random(seed)
    chosen: dict[str, str] = {}
    for number in range(count):
        name = list(CLASSES)[number % len(CLASSES)]
        paths = [path for pattern in CLASSES[name] for path in sorted(story.root.glob(pattern))]
        left = [p for p in paths if p.stat().st_size and p.relative_to(story.root).as_posix() not in chosen]
        path = chance.choice(left)
        flip(path, any_bit(path, chance))
        chosen[path.relative_to(story.root).as_posix()] = name
    found = {finding["path"] for finding in story.archive.ask("fsck", code=3)["findings"]}
    assert chosen.keys() <= found, f"seed {seed}: not found: {sorted(chosen.keys() - found)}"

    code = story.archive.run("fsck", "--repair", code=(0, 3)).code
    left_over = story.archive.ask("fsck", "--deep", code=code)["findings"]
    for finding in left_over:
        past = finding["table"].removeprefix("code.") in DERIVED_NAMES and "2026-11-04" not in finding["nights"]
        assert past or finding["table"].startswith("results."), (seed, finding)
    for (name, day), old in before.items():
        new = story.restore(name, day, folder / f"{seed}-{name}-{day}")
        assert story.differences(name, old, new) == [], (seed, name, day)
    lasting = {finding["path"] for finding in left_over}
    fates = Counter({f"{name}: {'stays' if path in lasting else 'healed'}": 0 for path, name in chosen.items()})
    fates.update(f"{name}: {'stays' if path in lasting else 'healed'}" for path, name in chosen.items())
    return fates


@pytest.mark.slow
def test_a_sample(intact: Story, before: Restored, tmp_path: Path) -> None:
    fates = round_of_flips(intact, before, tmp_path, 2026, 24)
    assert fates.total() == 24
    assert all(fates[f"{name}: stays"] == 0 for name in ("metadata", "manifests", "plans")), fates


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred(story: Story, before: Restored, tmp_path: Path) -> None:
    """Ten rounds of twenty. ``pytest -s`` shows the figures of decision 19."""
    fates: Counter[str] = Counter()
    for seed in range(10):
        fates += round_of_flips(story, before, tmp_path, seed, 20)
        story.put_back()
    print(dict(sorted(fates.items())))
    assert fates.total() == 200
    assert len(NIGHTS) * len(story.repositories) == len(before)
