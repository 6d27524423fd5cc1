"""Alerts: of metrics that exist, each with a runbook, and each fires when it should and not before."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.workflows.metrics.exposed import text_of
from pipeline.workflows.metrics.known import OF_A_RUN, OF_THE_ARCHIVE, OF_THE_END
from tests.monitoring.chain import FOLDER, MISSING, SOONER, program, quicker_rules
from tests.workflows.metrics.reading import KNOWN

ROOT = Path(__file__).parents[2]
RULES = FOLDER / "alerts.yml"
SHOWN_OF_HDFS = set(re.findall(r"fs_namesystem_\w+", (FOLDER / "dashboards" / "operators.json").read_text()))
TESTS = Path(__file__).parent / "alerts.yml"

needs_promtool = pytest.mark.skipif(
    "promtool" in MISSING, reason="promtool is not installed: scripts/prometheus gets it"
)


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def check(name: str, *arguments: str | Path, stdin: str = "") -> None:
    done = subprocess.run(
        [str(program(name)), *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes.yml"])
def test_prometheus_takes_the_examples(name: str) -> None:
    check("promtool", "check", "config", FOLDER / name)


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    (tmp_path / "tests.yml").write_text(TESTS.read_text().replace("RULES", str(RULES)))
    check("promtool", "test", "rules", tmp_path / "tests.yml")


@needs_promtool
def test_metrics_are_as_prometheus_wants_them() -> None:
    every = dict.fromkeys((*OF_A_RUN, *OF_THE_END, *OF_THE_ARCHIVE))
    check(
        "promtool",
        "check",
        "metrics",
        stdin=text_of({metric: {tuple("x" for _ in metric.labels): 1} for metric in every}),
    )


def test_every_alert_is_tested_firing() -> None:
    cases = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    names = {alert["alert"] for alert in alerts()}
    assert names == fired == silent | {"HostRefuses"}, "whose series beside are silent"


def test_alerts_ask_for_metrics_and_labels_that_exist() -> None:
    for alert in alerts():
        asked = re.findall(r"(git_lakehouse_\w+)(?:\{([^}]*)\})?", alert["expr"])
        of_hdfs = re.findall(r"(fs_namesystem_\w+)", alert["expr"])
        assert asked or of_hdfs
        assert set(of_hdfs) <= SHOWN_OF_HDFS, "what a dashboard shows is asked for where HDFS is real"
        for name, labels in asked:
            assert set(re.findall(r"(\w+)[!=]", labels)) <= set(KNOWN[name].labels)


def test_every_alert_has_a_severity_and_its_section_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"(?m)^### (\w+)$", page.partition("\n## Alerts\n")[2].partition("\n## ")[0])
    assert headings == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"


@pytest.mark.skipif("amtool" in MISSING, reason="amtool is not installed: scripts/prometheus gets it")
def test_alertmanager_takes_our_example() -> None:
    check("amtool", "check-config", FOLDER / "alertmanager.yml")


def test_the_quicker_rules_of_the_live_chain_are_the_same_alerts() -> None:
    (group,) = yaml.safe_load(quicker_rules(RULES.read_text()))["groups"]
    changed = [
        (ours, here) for ours, here in zip(alerts(), group["rules"], strict=True) if ours["expr"] != here["expr"]
    ]
    assert [ours["alert"] for ours, _ in changed] == ["NightLate", "CopyOld"]
    assert [ours["expr"].replace(*pair) for (ours, _), pair in zip(changed, SOONER.items(), strict=True)] == [
        here["expr"] for _, here in changed
    ]
