"""The figures of the cluster that matter, on small populations, and that they follow from our own functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.results import read
from cluster import assumed, heads, hosts, reasons, report, settings, stages
from cluster.outcome import FETCH, outcome
from cluster.population import KNOWN, Population, populate
from cluster.rates import MB, RESTORED_ON, Rates
from pipeline.model.origin import Origin, bucket_of, network_id
from pipeline.read.packing import MOST_PROCESSES, task_bytes
from pipeline.rules.compaction import Bounds
from pipeline.rules.networks import NETWORK_ORIGINS, placed
from pipeline.rules.partitioning import direct_tasks
from tests.cluster import DOCS, RAW, SEED


@pytest.mark.slow
def test_the_pages_tables_are_the_models(rates: Rates) -> None:
    """Whoever changes a rule of partitioning sees here what becomes of the cluster."""
    full = outcome(populate(assumed.RAW_BYTES, settings.BUCKETS, SEED), rates, SEED)
    page = (DOCS / "cluster.md").read_text()
    for table in (
        report.population_table(full),
        report.stage_table(full.stages),
        reasons.size_table(full),
        reasons.bound_table(full),
        report.holdings_table(full),
        report.written_table(full.night),
        report.host_table(full),
        report.manners_table(full),
    ):
        assert table in page, "scripts/cluster_model writes it again"
    prose, people = " ".join(page.split()), full.people
    assert f"{round(len(people.whole), -3):,} of {people.total('networks') / 1e6:.0f} million" in prose
    assert f"The disk is full at {people.total('origins') / 1e6:.0f} million" in prose
    largest = full.hosts[0]
    assert largest.night.least_s(largest.limits) > 7 * 86_400, "weeks, as point 7 says"
    assert largest.changed.least_s(largest.limits) > report.NIGHT_S, "more than eight hours"
    assert round(largest.limits.per_second / largest.night.requests * largest.night.each_s) == 5, "five conversations"
    assert largest.night.least_s(largest.limits) > 1_000 * full.stages[FETCH].makespan_s, "three orders of magnitude"


def test_rates_are_those_of_the_benchmarks(rates: Rates, tmp_path: Path) -> None:
    assert 12_000 < rates.fetched_objects < 25_000
    assert 10e6 < rates.compacted_raw_bytes < 30e6
    with pytest.raises(KeyError):
        Rates.measured(tmp_path / "none.json")


def test_a_population_has_the_wanted_size_and_is_the_same_again(people: Population) -> None:
    copies = people.of_large("raw").sum() - people.of_whole("raw").sum()
    assert people.total("raw") - copies == pytest.approx(RAW, rel=0.1)
    unknown = people.total("origins") - sum(each.origins for each in KNOWN)
    assert unknown / people.total("networks") == pytest.approx(2.2, rel=0.3)
    again = populate(RAW, 256, SEED)
    assert np.array_equal(again.by_bucket, people.by_bucket)
    assert not np.array_equal(populate(RAW, 256, SEED + 1).by_bucket, people.by_bucket)


def test_our_hash_places_the_large_networks(people: Population) -> None:
    assert people.large_in()[: len(KNOWN)].tolist() == [bucket_of(network_id(each.root), 256) for each in KNOWN]
    assert people.of_whole("origins").max() >= KNOWN[7].origins


def test_large_networks_are_divided_as_the_platform_does(people: Population) -> None:
    assert people.of_large("origins").max() == pytest.approx(NETWORK_ORIGINS)
    assert np.bincount(people.of, people.of_large("origins")) == pytest.approx(people.of_whole("origins"))
    fork = Origin("https://example.org/fork", KNOWN[7].root)
    (_, last), *_ = placed([fork], {KNOWN[7].root: KNOWN[7].origins - 2})
    assert people.ids[people.of == 7][-1] == last


def test_a_night_spreads_the_questions_of_a_large_bucket(
    people: Population, rates: Rates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without parts, one task asks all its origins, some at once, whatever the threads."""
    waits_s = people.bucket("origins").max() * hosts.MEAN_S / settings.CONCURRENCY
    assert stages.night(people, rates, 1_000, SEED).fetch.makespan_s < waits_s
    monkeypatch.setattr(stages, "question_parts", lambda due: {})
    assert stages.night(people, rates, 1_000, SEED).fetch.makespan_s >= waits_s


def test_a_night_writes_what_changed(people: Population, rates: Rates) -> None:
    """As the rules of lines say; rows that are added, at most three for a path that differs."""
    night = stages.night(people, rates, 1_000, SEED)
    found = {each.table: each for each in night.written}
    files, blobs = found["files"], found["head_blobs"]
    assert 0 < files.new * assumed.FILE_ROW_BYTES < files.bytes < 3 * files.changed_bytes
    assert 0 < blobs.new < files.new
    assert night.stored_rows < people.total("rows")
    all_, changed = (sum(getattr(each, name) for each in night.written) for name in ("bytes", "changed_bytes"))
    assert 1 < all_ / changed < 2


def test_a_fork_that_pushes_adds_the_rows_of_its_paths() -> None:
    one = heads.night_of(200, 1, 1, 50, np.random.default_rng(SEED))
    assert (one.moved, one.others) == (1, 0)
    assert one.changed + 1 == one.added == one.removed, "its paths, and the row that names the root tree"
    assert one.blobs_added == one.blobs_removed == one.changed


def test_a_join_is_cut_where_it_can_be(rates: Rates) -> None:
    coarse, fine = (populate(100e12, n, SEED) for n in (256, 4_096))
    whole = stages.join(coarse, 10**6, rates, 1_000, SEED, cut=False)
    assert whole.tasks == 256
    assert whole.over_bound > 1.5 * stages.join(fine, 10**6, rates, 1_000, SEED, cut=False).over_bound
    parts = stages.join(coarse, 10**6, rates, 1_000, SEED, cut=True)
    assert parts.tasks == pytest.approx(stages.plan(coarse, 10**6, 1_000).tables[0].bucket_tasks, rel=0.1)
    assert 1.5 * parts.over_bound < whole.over_bound


def test_a_scan_has_the_tasks_that_the_platform_plans(people: Population, rates: Rates) -> None:
    planned = stages.plan(people, 10**6, 1_000).tables[0]
    scan = stages.jvm_scan(people, 10**6, rates, 1_000, SEED)
    assert scan.tasks == planned.tasks
    assert stages.python_scan(people, rates, 1_000, SEED).tasks == direct_tasks(int(people.total("raw")), 1_000)
    assert scan.over_bound < 1.2


def test_a_whole_compaction_is_spread_over_all_threads(people: Population, rates: Rates) -> None:
    found = stages.compaction(people, rates, 200, SEED)
    assert found.stage.over_bound < 1.2
    assert found.stage.work_s == pytest.approx(people.total("raw") / rates.compacted_raw_bytes, rel=0.02)
    assert found.key_bytes <= Bounds().key_bytes
    assert found.scratch_bytes < 1.1 * Bounds().raw_bytes


def test_a_restore_takes_what_was_measured(people: Population, rates: Rates) -> None:
    """With as many processes as there were cores, the long history takes as long as it did."""
    table = next(t for t in read(DOCS / "benchmarks.json")["restore"].found.tables if t.title == "Restore")
    long = next(dict(zip(table.columns, row, strict=True)) for row in table.rows if row[0] == "long")
    raw = long["raw MB"] * MB
    alone_s = raw / rates.restored_alone_raw_bytes
    assert alone_s + raw / rates.restored_raw_bytes == pytest.approx(long["restore CPU-s"])
    assert alone_s + raw / rates.restored_raw_bytes / RESTORED_ON == pytest.approx(long["restore s"])
    stage, memory = stages.restore(people, rates, 1_000)
    largest = int(people.of_large("raw").argmax())
    assert stage.makespan_s > people.of_large("raw")[largest] / rates.restored_alone_raw_bytes > stage.share_s
    whole = int(people.of_large("raw")[largest])
    assert stage.tasks == 1 + -(-whole // task_bytes(whole, MOST_PROCESSES))
    assert stage.bound_s < stage.makespan_s, "its bound is the pack on a disk, not itself"
    assert memory > 490 * people.of_large("objects")[largest]


def test_memory_of_a_restore_is_that_of_the_page() -> None:
    page = " ".join((DOCS / "limits.md").read_text().split())
    assert (
        f"Restoring keeps in memory {assumed.TREE_MEMORY_BYTES} bytes per commit, tag and tree of the network, "
        f"{assumed.WANTED_MEMORY_BYTES} per object that the refs lead to and, while the pack is indexed, "
        f"{assumed.INDEXED_MEMORY_BYTES} per object of it."
    ) in page


def test_the_order_of_fetch_tasks_is_the_platforms(
    people: Population, rates: Rates, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest_last = np.argsort(people.bucket("origins")).tolist()
    monkeypatch.setattr(stages, "fetch_order", lambda due: largest_last)
    last = stages.night(people, rates, 20, SEED).fetch.makespan_s
    monkeypatch.setattr(stages, "fetch_order", lambda due: largest_last[::-1])
    assert stages.night(people, rates, 20, SEED).fetch.makespan_s < last


def test_larger_batches_land_fewer_files(people: Population, rates: Rates) -> None:
    small, large = (stages.first_crawl(people, rates, 1_000, SEED, size) for size in (1_000, 10_000))
    assert large.files < small.files / 3
    assert large.stage.makespan_s < small.stage.makespan_s


def test_a_page_keeps_its_prose(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.fill(page, ["one", "two"])
    assert page.read_text() == f"before\n{report.BEGIN}\n\none\n\ntwo\n\n{report.END}\nafter\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no line"):
        report.fill(page, [])
