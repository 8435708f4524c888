"""Tables into README.md, and line plots as SVG: no library, so that the scripts need NumPy only."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


def write(folder: pathlib.Path, section: str, text: str) -> None:
    """Replaces what stands between the markers of a section, or adds the section."""
    path = folder / "README.md"
    page = path.read_text() if path.exists() else ""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    if begin not in page:
        page += f"\n{begin}\n{end}\n"
    head, tail = page[:page.index(begin) + len(begin)], page[page.index(end):]
    path.write_text(f"{head}\n\n{text}\n\n{tail}")


def spread(numbers: Sequence[float], form: str = "{:.3f}") -> str:
    """Mean, and the smallest and largest: with three seeds a deviation would say too much."""
    if not numbers:
        return "-"
    if not all(map(math.isfinite, numbers)):
        return f"**NaN** in {sum(not math.isfinite(x) for x in numbers)} of {len(numbers)}"
    mean = form.format(float(np.mean(numbers)))
    if len(numbers) == 1:
        return f"{mean} (one seed)"
    return f"{mean} ({form.format(min(numbers))} to {form.format(max(numbers))})"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [
        header, ["---"] * len(header), *lines])


@dataclass
class Line:
    """One curve: y over x for each seed."""

    name: str
    x: Sequence[float]
    seeds: list[Sequence[float]] = field(default_factory=list)


COLOURS = ["#1b6ca8", "#d1495b", "#3c8d40", "#e08e1b", "#7b4fa6", "#4d4d4d", "#12a5a5", "#9c6b3f"]
LEFT, TOP, WIDTH, HEIGHT = 64, 36, 420, 280


def plot(panels: Sequence[tuple[str, str, str, Sequence[Line]]], path: pathlib.Path) -> None:
    """Panels side by side: title, names of the axes, curves.  A band is the span of the seeds."""
    wide = LEFT + WIDTH + 150
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide * len(panels)}" '
             f'height="{TOP + HEIGHT + 52}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>']
    for i, (title, across, up, lines) in enumerate(panels):
        parts += [f'<g transform="translate({i * wide},0)">',
                  *_panel(title, across, up, lines), "</g>"]
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _panel(title: str, across: str, up: str, lines: Sequence[Line]) -> list[str]:
    lines = [line for line in lines if line.seeds]
    every_x = [x for line in lines for x in line.x]
    every_y = [y for line in lines for seed in line.seeds for y in seed if math.isfinite(y)]
    if not every_y:
        return []
    left, right = min(every_x), max(every_x)
    low, high = min(every_y), max(every_y)
    room = 0.04 * (high - low or 1)
    low, high = low - room, high + room

    def place(x: float, y: float) -> str:
        return (f"{LEFT + WIDTH * (x - left) / (right - left or 1):.1f},"
                f"{TOP + HEIGHT * (high - min(max(y, low), high)) / (high - low):.1f}")

    parts = [f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{title}</text>',
             f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">{across}</text>',
             f'<text transform="translate(14,{TOP + HEIGHT / 2}) rotate(-90)" '
             f'text-anchor="middle">{up}</text>']
    for value in _ticks(low, high):
        x, y = place(left, value).split(",")
        parts += [f'<path d="M{x},{y}h{WIDTH}" stroke="#ddd"/>',
                  f'<text x="{LEFT - 6}" y="{float(y) + 4}" text-anchor="end">{value:g}</text>']
    for value in _ticks(left, right):
        x = place(value, low).split(",")[0]
        parts += [f'<path d="M{x},{TOP + HEIGHT}v5" stroke="#888"/>',
                  f'<text x="{x}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{value:,g}</text>']
    parts.append(f'<path d="M{LEFT},{TOP}v{HEIGHT}h{WIDTH}" fill="none" stroke="#888"/>')
    for i, line in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        seeds = np.where(np.isfinite(line.seeds), line.seeds, high).astype(float)
        above = [place(x, y) for x, y in zip(line.x, seeds.max(0))]
        below = [place(x, y) for x, y in zip(line.x, seeds.min(0))]
        mean = [place(x, y) for x, y in zip(line.x, seeds.mean(0))]
        y = TOP + 10 + 18 * i
        parts += [f'<polygon points="{" ".join(above + below[::-1])}" fill="{colour}" opacity="0.15"/>',
                  f'<polyline points="{" ".join(mean)}" fill="none" stroke="{colour}" stroke-width="2"/>',
                  f'<path d="M{LEFT + WIDTH + 10},{y}h18" stroke="{colour}" stroke-width="2"/>',
                  f'<text x="{LEFT + WIDTH + 34}" y="{y + 4}">{line.name}</text>']
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers between two."""
    step = 10 ** math.floor(math.log10((high - low) / 4 or 1))
    step = next((step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 8), step)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]
