"""Dashboards: as their script makes them, as Grafana's schema has them, and with every metric somewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.files import FOLDER, made_anew
from dashboards.panels import of_archive
from pipeline.workflows.metrics import known
from tests.workflows.metrics.reading import KNOWN

FILES = sorted(FOLDER.glob("*.json"))


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def as_grafana_has_it(dashboard: dict[str, Any]) -> dict[str, Any]:
    """A dashboard as the types of Grafana's own library read it: they drop what they do not know."""
    found: dict[str, Any] = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    return found


def test_the_files_are_up_to_date() -> None:
    assert {path.name: path.read_text() for path in FILES} == made_anew(), "run scripts/make_dashboards"


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_grafana_knows_every_field(name: str) -> None:
    register_default_plugins()
    assert as_grafana_has_it(read(name)) == read(name)
    odd = read(name)
    odd["panels"][1]["targets"][0]["exprr"] = "1"
    assert as_grafana_has_it(odd) != odd


def test_ids_of_panels_are_their_own() -> None:
    for path in FILES:
        ids = [panel["id"] for panel in read(path.name)["panels"]]
        assert len(set(ids)) == len(ids)


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    for path in FILES:
        taken: set[tuple[int, int]] = set()
        for panel in read(path.name)["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert max(x for x, _ in cells) < 24
            assert not cells & taken
            taken |= cells
            assert panel["type"] == "row" or (panel["description"].endswith(".") and panel["targets"])


def test_every_metric_is_on_a_dashboard() -> None:
    shown = set(re.findall(r"git_lakehouse_\w+", "".join(path.read_text() for path in FILES)))
    assert shown == set(KNOWN)


def test_a_label_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="nights has no labels"):
        of_archive(known.NIGHTS, table="x")
