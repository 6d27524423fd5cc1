"""How right signals are, for people."""

from __future__ import annotations

from pipeline.cli.output import Output
from pipeline.model.signal import SignalsByKind
from pipeline.read.signals import NIGHTS


def show_signals(output: Output, signals: SignalsByKind) -> None:
    """A row for each kind of signal that there is something to say about."""
    if not signals:
        return
    columns = ("kind", "visits told of", "changed", "precision", "changes", "told of", "recall")
    rows = [
        (
            str(kind), each.right + each.wrong, each.right, _percent(each.precision),
            each.changes, each.told, _percent(each.recall),
        )
        for kind, each in signals.items()
    ]  # fmt: skip
    output.table(f"Signals before the visits of the last {NIGHTS} nights", columns, rows)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
