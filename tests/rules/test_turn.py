from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipeline.model.tables import ORIGINS
from pipeline.rules.turn import turn_of

URL, TONIGHT = "https://example.org/a", date(2026, 11, 20)
NEW = dict.fromkeys(ORIGINS.column_names) | {
    "url": URL,
    "state": "active",
    "added_at": datetime(2026, 11, 1, tzinfo=UTC),
    "failures": 0,
}
KNOWN = NEW | {
    "last_visit": datetime(2026, 11, 10, 3, tzinfo=UTC),
    "last_status": "full",
    "next_due": date(2026, 11, 11),
}
TOLD = KNOWN | {"signalled_at": datetime(2026, 11, 18, tzinfo=UTC)}
ASKED = KNOWN | {"asked_at": datetime(2026, 11, 19, tzinfo=UTC)}
FAILED = KNOWN | {"failures": 3, "last_error": "timeout", "next_due": date(2026, 11, 24)}
GONE = KNOWN | {"state": "gone", "failures": 9, "next_due": date(2026, 12, 10)}

NEXT = "is visited in the next night, 2026-11-20, as all that are due: "
LAST = "the last visit was on 2026-11-10"


@pytest.mark.parametrize(
    ("row", "night", "why"),
    [
        (NEW, TONIGHT, NEXT + "it was added on 2026-11-01 and never visited."),
        (KNOWN, TONIGHT, f"{NEXT}{LAST}, and how often it changes is not known yet."),
        (KNOWN | {"watched": 60.0, "changes": 3.0}, TONIGHT, f"{NEXT}{LAST}, and it changes once in some 20 nights."),
        (KNOWN | {"watched": 60.0, "changes": 0.0}, TONIGHT, f"{NEXT}{LAST}, and no visit found a change lately."),
        (
            KNOWN | {"newest_commit": datetime(2024, 3, 1, 9, tzinfo=UTC), "watched": 60.0, "changes": 0.0},
            TONIGHT,
            f"{NEXT}{LAST}, its newest commit is of 2024-03-01, and no visit found a change lately.",
        ),
        (TOLD, TONIGHT, f"{NEXT}a signal told on 2026-11-18 that it changed; {LAST}."),
        (
            TOLD | {"signals": ["event", "updated"]},
            TONIGHT,
            f"{NEXT}a signal told on 2026-11-18 that it changed (event, updated); {LAST}.",
        ),
        (
            FAILED,
            date(2026, 11, 24),
            "is due on 2026-11-24, because its last 3 visits did not end well (timeout on 2026-11-10).",
        ),
        (
            GONE,
            date(2026, 12, 10),
            "is due on 2026-12-10, because its server said several times that it is gone, last on 2026-11-10.",
        ),
        (
            GONE | {"last_error": "login_required"},
            date(2026, 12, 10),
            "is due on 2026-12-10, because it is gone: its forge no longer lists it, or its server said so, and asked "
            "for a login on 2026-11-10.",
        ),
        (
            ASKED | {"state": "paused"},
            None,
            "is not visited, because people paused it; `pipeline origins resume` ends that.",
        ),
        (
            KNOWN | {"state": "opted_out"},
            None,
            "is not visited, because it is opted out; `pipeline origins resume` ends that.",
        ),
    ],
)
def test_a_sentence_says_when_and_why(row: dict[str, Any], night: date | None, why: str) -> None:
    turn = turn_of(row, TONIGHT, None, 90, promised=True)
    assert (turn.night, turn.why) == (night, f"{URL} {why}")


def test_with_a_budget_it_says_by_when() -> None:
    assert turn_of(ASKED, TONIGHT, "origins=5", 90, promised=True).why == (
        f"{URL} comes first in the next night, 2026-11-20, because people asked for it on 2026-11-19."
    )
    assert turn_of(NEW, TONIGHT, "origins=5", 90, promised=True).why == (
        f"{URL} is due since 2026-11-20 and visited by 2027-01-30, as the budget origins=5 allows: "
        "it was added on 2026-11-01 and never visited."
    )
    assert turn_of(NEW, TONIGHT, "origins=5", 90, promised=False).why == (
        f"{URL} is due since 2026-11-20 and visited in some night, as its host has too many origins for a promise, as "
        "the budget origins=5 allows: it was added on 2026-11-01 and never visited."
    )
    assert turn_of(NEW, TONIGHT, "origins=5", 90, promised=None).why == (
        f"{URL} is due since 2026-11-20 and visited in some night: whether by 2027-01-30 is not known, as too many "
        "hosts lost that promise to name all, as the budget origins=5 allows: it was added on 2026-11-01 and never "
        "visited."
    )
