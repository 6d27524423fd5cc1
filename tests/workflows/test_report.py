"""The report of a night: right numbers, and a page that opens without a network and runs nothing."""

from __future__ import annotations

import re
import tracemalloc
from datetime import date
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from pipeline.model.night_summary import NightSummary, Unpromised
from pipeline.model.signal import SignalCounts, SignalKind
from pipeline.model.visit import VisitStatus
from pipeline.model.visit_counts import FailedVisit, SlowVisit
from pipeline.read.freshness import Freshness
from pipeline.workflows.report import INTERVALS, Fetched, bars, rates_of, render

HOSTILE = "git://h/<script>alert(1)</script>\"'><img src=x onerror=y>\u202e\x1b[2J {{ 7 * 7 }}"
QUIET = NightSummary(
    night=date(2026, 11, 1), run_id="r", origins={}, objects=0, raw_bytes=0, wire_bytes=0, stored_bytes=0, files=0,
    seconds={"plan": 1.5}, failed=(),
)  # fmt: skip
BUSY = QUIET.model_copy(
    update={
        "origins": {VisitStatus.FULL: 3, VisitStatus.FAILED: 1},
        "errors": {"timeout": 1},
        "failed": (FailedVisit(origin=HOSTILE, status=VisitStatus.FAILED, error=HOSTILE, detail=HOSTILE),),
        "slowest": (SlowVisit(origin=HOSTILE, status=VisitStatus.FULL, duration_s=61.5, objects=4, wire_bytes=5),),
        "hosts": {
            "well.example": {VisitStatus.FULL: 3, VisitStatus.UNCHANGED: 1},
            "no.example": {VisitStatus.FULL: 1, VisitStatus.REFUSED: 2, VisitStatus.NOT_FOUND: 3},
            HOSTILE: {VisitStatus.DEFERRED: 1},
        },
        "host_seconds": {"well.example": 90.0, "no.example": 3.0, HOSTILE: 0.0},
        "damaged": (HOSTILE,),
        "left_out": {3: HOSTILE},
        "unpromised": (Unpromised(host=HOSTILE, origins=12_000_000, nights=1210.6),),
    }
)
FRESH = Freshness({"up to 1 day": 3, "longer": 0}, failing=1, never=0, due=2, longest_nights=4)
FETCHED = [Fetched(1000.0, 1060.0, 3, 600, 6_000_000), Fetched(1030.0, 1120.0, 1, 30, 0)]


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data


def test_an_empty_night_has_a_report() -> None:
    page = Page(render(QUIET, None, None))
    assert "No origin was due" in page.text
    assert "plan" in page.text


def test_what_origins_send_is_text_and_nothing_else() -> None:
    page = Page(render(BUSY, rates_of(FETCHED), FRESH))
    quiet = {tag for tag, _ in Page(render(QUIET, None, None)).tags}
    assert {tag for tag, _ in page.tags} - quiet <= {"ul", "li", "h3", "th", "figure", "figcaption", "polygon", "code"}
    attributes = {name for _, given in page.tags for name in given}
    assert not attributes & {"href", "src", "onerror", "style", "xlink:href"}
    assert page.text.count("<script>alert(1)</script>") == 8
    assert "{{ 7 * 7 }}" in page.text
    assert "\\u202e\\x1b[2J" in page.text
    assert page.text.replace("\n", "").isprintable()


def test_signals_are_counted_by_kind() -> None:
    counts = SignalCounts(right=1_200, wrong=34, changes=5_678, told=901)
    page = Page(render(QUIET.model_copy(update={"signals": {SignalKind.EVENT: counts}}), None, None))
    assert re.search(r"event\s*1,234\s*1,200\s*5,678\s*901\s", page.text)
    assert "Signals" not in Page(render(QUIET, None, None)).text


def test_a_host_without_the_promise_is_named_and_the_night_says_so() -> None:
    quiet = QUIET.model_copy(update={"unpromised": (Unpromised(host="h", origins=12_000_000, nights=1210.6),)})
    assert '<td>h</td><td class="number">12,000,000</td>\n<td class="number">1,211</td>' in render(quiet, None, None)
    assert (QUIET.exit_code, quiet.exit_code) == (0, 1)


def rows_below(heading: str, page: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its titles."""
    table = re.search(f"<h2>{heading}</h2>.*?<table>(.*?)</table>", page, re.DOTALL).group(1)
    return [re.findall("<td.*?>(.*?)</td>", row) for row in table.split("<tr>")[2:]]


def test_hosts_that_took_long_and_hosts_that_brought_nothing() -> None:
    page = render(BUSY, None, None)
    well, no = ["well.example", "4", "0", "90.0", "22.50"], ["no.example", "6", "5", "3.0", "0.50"]
    assert rows_below("Hosts that took longest", page) == [well, no]
    failing = rows_below("Hosts that brought nothing", page)
    assert (failing[0], len(failing)) == (no, 2)
    assert "Hosts that" not in render(QUIET, None, None)


def test_a_table_of_hosts_has_ten() -> None:
    hosts = {f"h{number}.example": {VisitStatus.FAILED: number + 1} for number in range(51)}
    page = render(QUIET.model_copy(update={"hosts": hosts, "host_seconds": dict.fromkeys(hosts, 1.0)}), None, None)
    assert [row[0] for row in rows_below("Hosts that brought nothing", page)] == [
        f"h{n}.example" for n in range(50, 40, -1)
    ]
    assert len(rows_below("Hosts that took longest", page)) == 10


def test_secrets_are_hidden() -> None:
    failed = FailedVisit(origin="https://u:S3CRETx1@h/x", status=VisitStatus.FAILED, error="x", detail="token=S3CRETx2")
    assert "S3CRET" not in render(QUIET.model_copy(update={"failed": (failed,)}), None, None)


def test_plots_are_well_formed_and_within_their_frames() -> None:
    page = render(BUSY, rates_of(FETCHED), FRESH)
    drawn = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(drawn) == 7
    for svg in drawn:
        width, height = map(float, svg.attrib["viewBox"].split()[2:])
        for area in svg.iter("polygon"):
            corners = [tuple(map(float, corner.split(","))) for corner in area.attrib["points"].split()]
            assert all(0 <= x <= width and 0 <= y <= height for x, y in corners)
            assert min(y for _, y in corners) == 0
        for bar in svg.iter("rect"):
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width


def test_rates_add_up_to_what_came() -> None:
    rates = rates_of(FETCHED)
    assert rates.seconds == pytest.approx(120)
    step = rates.seconds / INTERVALS
    assert sum(rates.objects) * step == pytest.approx(630)
    assert sum(rates.visits) * step == pytest.approx(4)
    assert rates.objects[0] == pytest.approx(10)
    assert rates.objects[INTERVALS // 2 - 1] == pytest.approx(10 + 30 / 90)
    assert rates.objects[-1] == pytest.approx(30 / 90)


@pytest.mark.parametrize("task", [Fetched(5.0, 5.0, 1, 7, 0), Fetched(5.0, 5.0004, 1, 7, 0)])
def test_a_task_without_duration_counts_whole(task: Fetched) -> None:
    for others in ([], [Fetched(0.0, 10.0, 0, 0, 0)], [Fetched(0.0, 5.0, 0, 0, 0)]):
        rates = rates_of([task, *others])
        assert sum(rates.objects) * rates.seconds / INTERVALS == pytest.approx(7)


def test_nothing_fetched_has_no_rates() -> None:
    assert rates_of([]) is None


def test_the_longest_bar_is_whole() -> None:
    assert [bar.share for bar in bars({"a": 2, "b": 4, "c": 0})] == [0.5, 1, 0]
    assert [bar.share for bar in bars({"a": 0})] == [0]


@pytest.mark.slow
def test_a_page_is_as_large_for_very_many_tasks() -> None:
    tracemalloc.start()
    try:
        page = render(QUIET, rates_of([FETCHED[0]] * 4096), None)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert len(page) < 20_000
