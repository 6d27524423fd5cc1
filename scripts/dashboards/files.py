"""The dashboards as files that Grafana reads."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import operators, scientists
from dashboards.panels import number_and_place

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring" / "dashboards"


def made_anew() -> dict[str, str]:
    """Every file of the folder by its name, as it ought to be."""
    of_operators, of_scientists = (operators.UID, operators.TITLE), (scientists.UID, scientists.TITLE)
    made = {
        "operators.json": operators.operators(of_scientists),
        "scientists.json": scientists.scientists(of_operators),
    }
    return {name: _text(dashboard.build()) for name, dashboard in made.items()}


def _text(dashboard: Dashboard) -> str:
    number_and_place(dashboard.panels or ())
    return json.dumps(dashboard, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
