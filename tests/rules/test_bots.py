"""Which authors are programs."""

from __future__ import annotations

import pytest

from pipeline.rules.bots import is_bot

BOTS = [
    ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
    ("Renovate Bot", "bot@renovateapp.com"),
    ("k8s-ci-robot", "x@y"),
    ("pre-commit", "66853113+pre-commit-ci[bot]@users.noreply.github.com"),
    ("Jenkins", "fabric8-ci@redhat.com"),
    ("travis.bot", ""),
    ("GitHub Actions", "actions@example.org"),
    ("nobody", "asfgit@apache.org"),
]
PEOPLE = [
    ("Talbot", "talbot@example.org"),
    ("Robot Adams Abbott", "a@robot.org"),
    ("shoma", "shoma@catbot.net"),
    ("John Jenkins", "john@bot.example"),
    ("Travis", "travis.e.cook@gmail.com"),
    ("", ""),
    ("x" * 100_000 + "-bot", "x"),
]


@pytest.mark.parametrize(("name", "email"), BOTS)
def test_programs(name: str, email: str) -> None:
    assert is_bot(name, email)


@pytest.mark.parametrize(("name", "email"), [person for person in PEOPLE if not person[0].startswith("Robot")])
def test_people(name: str, email: str) -> None:
    assert not is_bot(name, email)
