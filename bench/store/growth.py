"""The cost of questions against the number of records, as a picture. Pure but for the file."""

from collections.abc import Mapping
from math import log10
from pathlib import Path

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 900, 460, 70, 30, 300, 50
_COLOURS = ("#1b6ca8", "#c44e52", "#2e8b57", "#8172b2", "#b8860b", "#4c4c4c", "#d2691e", "#008b8b")


def plot(found: Mapping[int, Mapping[str, float]], path: Path) -> None:
    """Draw a line for each question, both axes logarithmic."""
    path.write_text(drawn(found))


def drawn(found: Mapping[int, Mapping[str, float]]) -> str:
    """Draw it as SVG."""
    sizes = sorted(found)
    names = list(found[sizes[0]])
    values = [max(value, 0.01) for each in found.values() for value in each.values()]
    low, high = int(log10(min(values)) - 1), int(log10(max(values)) + 1)
    first, last = log10(sizes[0]), max(log10(sizes[-1]), log10(sizes[0]) + 1)

    def x(size: float) -> float:
        return _LEFT + (log10(size) - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        part = (log10(max(value, 0.01)) - low) / (high - low)
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for power in range(low, high + 1):
        at = y(10**power)
        parts += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" '
            'stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**power:g} ms</text>',
        ]
    for size in sizes:
        parts.append(
            f'<text x="{x(size):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{size:,}</text>'
        )
    parts.append(f'<text x="{_LEFT}" y="18">milliseconds a question, against records</text>')
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        dashes = "" if number < len(_COLOURS) else ' stroke-dasharray="5 3"'
        points = " ".join(f"{x(size):.1f},{y(found[size][name]):.1f}" for size in sizes)
        at = _TOP + 20 + number * 22
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
            f'<line x1="{_WIDTH - _RIGHT + 15}" x2="{_WIDTH - _RIGHT + 40}" y1="{at}" y2="{at}" '
            f'stroke="{colour}" stroke-width="2"{dashes}/>',
            f'<text x="{_WIDTH - _RIGHT + 46}" y="{at + 4}">{name}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
