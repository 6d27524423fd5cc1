"""Writes deploy/monitoring/dashboards; ``scripts/make_dashboards`` calls it."""

from __future__ import annotations

import sys

from dashboards.files import FOLDER, made_anew

for name, text in made_anew().items():
    (FOLDER / name).write_text(text)
    sys.stdout.write(f"{name}: written\n")
