"""What was found odd, on top of the page."""

from __future__ import annotations

from collections.abc import Sequence

from lakehouse.evolution.page.drawing import escaped, isolated
from lakehouse.evolution.page.named import Named
from lakehouse.records import printable
from lakehouse.validation.anomalies import Anomalies, Anomaly

__all__ = ["oddities"]

_SHOWN = 100
_CAUSES = 5
_LONG = 2000  # characters of a description


def oddities(anomalies: Anomalies, found: Sequence[Named]) -> str:
    """All anomalies, each with the way to its feature; says so where there is none."""
    anchors = {one.line.path: one.anchor for one in found}
    rows = f"{anomalies.rows:,} row{'' if anomalies.rows == 1 else 's'}"
    if anomalies.data_missing:
        told = '<div class="odd error"><p>There are no rows, so there is nothing to look at.</p></div>'
    elif not anomalies.anomalies:
        told = f'<p class="well">No anomalies in {rows}.</p>'
    else:
        told = f'<p class="soft">found in a batch of {rows}</p>'
        told += "".join(_odd(anomaly, anchors) for anomaly in anomalies.anomalies[:_SHOWN])
    if len(anomalies.anomalies) > _SHOWN:
        told += f"<p>and {len(anomalies.anomalies) - _SHOWN:,} more</p>"
    notes = "".join(f'<p class="soft">{escaped(printable(note))}</p>' for note in anomalies.notes)
    number = f"<small>{len(anomalies.anomalies):,}</small>" if anomalies.anomalies else ""
    return f'<section id="anomalies"><h2>Anomalies{number}</h2>\n{told}{notes}</section>\n'


def _odd(anomaly: Anomaly, anchors: dict[str, str]) -> str:
    named = isolated(printable(anomaly.path)) if anomaly.path else "the dataset"
    if anomaly.path in anchors:
        named = f'<a href="#{anchors[anomaly.path]}">{named}</a>'
    causes = ", ".join(
        f"{isolated(printable(cause.name) or cause.raw[:12])} ({cause.share:.0%})" for cause in anomaly.causes[:_CAUSES]
    )
    more = f" and {len(anomaly.causes) - _CAUSES:,} more" if len(anomaly.causes) > _CAUSES else ""
    return (
        f'<div class="odd {anomaly.severity.value}"><p><span class="badge">{anomaly.severity.value}</span>'
        f"<b>{named}</b>: {escaped(printable(anomaly.short[:_LONG]))}</p>"
        f"<p>{escaped(printable(anomaly.description[:_LONG]))}</p>"
        + (f"<p>Brought by {causes}{more}</p>" if causes else "")
        + (f"<p>Proposal: {escaped(printable(anomaly.proposal[:_LONG]))}</p>" if anomaly.proposal else "")
        + "</div>"
    )
