"""Bars as SVG paths: one path per series, so that a week of hours stays a few kilobytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STEP, _BAR = 10, 8
_LEAST = 2
"""What is there is seen, however little it is beside the rest."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars in a box of `width` by `height`: per series the `d` of its path. `top`: the highest column's sum."""

    width: int
    height: int
    top: int
    paths: dict[str, str]


def stacked(series: Mapping[str, Sequence[int]], height: int) -> Bars:
    """Bars of series of one length; the first lies at the bottom."""
    columns = list(zip(*series.values(), strict=True))
    top = max(map(sum, columns), default=0)
    scale = (height - _LEAST * (len(series) - 1)) / max(top, 1)
    paths: dict[str, list[str]] = {name: [] for name in series}
    for place, column in enumerate(columns):
        foot = float(height)
        for name, value in zip(series, column, strict=True):
            if value:
                tall = round(max(value * scale, _LEAST), 1)
                foot = round(foot - tall, 1)
                paths[name].append(f"M{place * _STEP + 1} {foot:g}h{_BAR}v{tall:g}h-{_BAR}z")
    return Bars(len(columns) * _STEP, height, top, {name: "".join(parts) for name, parts in paths.items()})
