"""The page of events is what the source says."""

from __future__ import annotations

import events
from pipeline.model.log import FIELDS


def test_the_page_is_up_to_date() -> None:
    assert events.PAGE.made_anew() == events.PAGE.text, "run scripts/events.py"


def test_fields_of_events_are_known() -> None:
    found = events.events()
    assert {name for event in found for name in event.fields} <= set(FIELDS)
    assert len(found) > 50


def test_an_event_is_a_sentence_or_a_word_and_never_only_a_value() -> None:
    assert [event for event in events.events() if event.event == "%s"] == []


def test_every_field_is_explained() -> None:
    text = events.PAGE.text
    assert [name for name in FIELDS if f"`{name}`" not in text] == []
