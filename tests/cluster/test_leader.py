"""Memory of the leading process and of the NameNode."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import assumed, leader, stages
from cluster.outcome import Outcome
from cluster.settings import BLOCK_BYTES
from pipeline.model.tables import LANDED
from pipeline.night.derive import MOST_MOVED
from pipeline.rules import batches
from pipeline.rules.partitioning import DRIVER_BYTES_A_FILE
from tests.cluster import DOCS


def test_what_was_measured_is_that_of_the_page() -> None:
    rows = [line.strip("| ").split(" | ") for line in (DOCS / "scale.md").read_text().splitlines() if "|" in line]
    leader_mb = {row[0]: row[6] for row in rows if len(row) > 6}
    assert float(leader_mb["100 of 100,000, only they are due"]) * 1e6 == assumed.LEADER_BYTES
    assert (
        float(leader_mb["1,000,000 visits in 1,000 networks, one changed"]) * 1e6 == assumed.LEADER_BYTES_OF_A_MILLION
    )
    assert f"{assumed.LEADER_BYTES_A_FIRST_VISIT / 1_000} GB per million" in Path(batches.__file__).read_text()


def test_the_leader_holds_visits_and_one_slice_of_a_derivation(found: Outcome) -> None:
    people, each = found.people, (assumed.LEADER_BYTES_OF_A_MILLION - assumed.LEADER_BYTES) / 1e6
    derived = found.night.leader_bytes - assumed.LEADER_BYTES - people.total("origins") * each
    assert people.total("changed") < MOST_MOVED
    assert derived == pytest.approx(
        people.total("changed") * leader.head_bytes() + leader.lines(people) * leader.line_bytes()
    )
    assert 500 < leader.head_bytes() < 2_000
    assert 200 < leader.line_bytes() < 500
    assert leader.lines(people) > people.total("changed") - people.of_large("changed").sum()


def test_files_and_their_blocks_are_objects_of_the_namenode(found: Outcome) -> None:
    assert stages.objects_of(10, 0) == 20
    assert stages.objects_of(10, 10 * BLOCK_BYTES) == 20
    assert stages.objects_of(10, 10 * BLOCK_BYTES + 1) == 30
    assert found.objects.crawled == found.crawl.objects >= 2 * found.crawl.files
    others = found.crawl.files - found.crawl.content_files
    assert others == pytest.approx(found.crawl.content_files * (len(LANDED) - 1), rel=0.05)
    assert found.objects.compacted == 2 * (found.compaction.files + others)


def test_planning_grows_with_the_files_of_a_compaction(found: Outcome) -> None:
    assert found.planning_bytes.crawled == found.crawl.content_files * DRIVER_BYTES_A_FILE
    assert found.planning_bytes.compacted == found.compaction.files * DRIVER_BYTES_A_FILE
    assert found.planning_bytes.crawled < found.planning_bytes.compacted < found.driver_bytes
