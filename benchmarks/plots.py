"""Results as bars, in SVG. The only user of matplotlib, which is an extra."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.results import Machine, Result

_ROW_HEIGHT, _WIDTH = 0.38, 8.5  # inches
_BAR, _BOUND = "#2f6f9f", "#c0392b"


def draw(result: Result, machine: Machine, file: Path) -> None:
    """Write one result's plot."""
    plot, column = result.plot, result.figure(result.plot.figure)
    values = [float(row[plot.figure]) for row in result.rows]
    places = range(len(values))
    figure = Figure(figsize=(_WIDTH, 1.3 + _ROW_HEIGHT * len(values)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(places, values, color=_BAR, height=0.7)
    axes.bar_label(bars, labels=[column.text(row) for row in result.rows], padding=4)
    axes.set_yticks(places, labels=[result.label(row) for row in result.rows])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(column.heading)
    axes.set_title(result.title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    if plot.logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(left=1)
    bounds = [(place, row[plot.bound]) for place, row in zip(places, result.rows, strict=True)
              if plot.bound and row.get(plot.bound)]  # fmt: skip
    if bounds:
        where, most = zip(*bounds, strict=True)
        axes.scatter(most, where, marker="|", s=180, color=_BOUND, linewidths=2, label="in-flight ÷ latency")
        figure.legend(loc="outside upper right", frameon=False)
    figure.supxlabel(str(machine), fontsize=6, color="gray")
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": result.name}):
        figure.savefig(file, metadata={"Date": None})
