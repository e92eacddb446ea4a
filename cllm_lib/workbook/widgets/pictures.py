"""Pictures of a training run for the dashboard, as SVG: in the page's own colours, with their numbers as description."""

import math

import numpy as np

from cllm_lib.instruments.diagnosis import HEALTHY_UPDATES
from cllm_lib.workbook.widgets.svg import MARK, SHADE, labels, svg, text

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 28, 34
POINTS = 200  # of a curve: more cannot be told apart
ROW = 26
LOWEST, HIGHEST = -7, 0  # powers of ten of the update ratios shown


def loss_svg(history, batches_per_epoch, levels):
    """Training and validation loss against steps, over levels known beforehand.

    Parameters
    ----------
    history : History
    batches_per_epoch : int
    levels : dict of str to float
        Drawn as dashed lines.

    Returns
    -------
    str
    """
    steps, losses = thinned(history.losses, batches_per_epoch)
    validation = {step: loss for step, loss in history.validation_losses.items() if math.isfinite(loss)}
    top = 1.08 * max([*levels.values(), *losses, *validation.values(), 1e-9])
    last = max(len(history.losses), 1)

    def place(step, loss):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * loss / top

    curve = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in zip(steps, losses, strict=True))
    dots = "".join(
        '<rect x="{:.1f}" y="{:.1f}" width="6" height="6"/>'.format(*np.subtract(place(*point), 3)) for point in validation.items()
    )
    heights = [place(last, level)[1] for level in levels.values()]
    lines = [f'<path d="M{LEFT},{y:.1f} H{WIDTH - RIGHT}" stroke-dasharray="5 3" stroke-opacity="0.7"/>' for y in heights]
    named = zip(heights, levels.items(), strict=True)
    names = labels([(WIDTH - RIGHT, y - 4, f"{name} {level:.2f}", "end") for y, (name, level) in named])
    ticks = [text(LEFT - 5, place(0, tick)[1] + 4, short(tick), "end") for tick in _ticks(top)]
    return svg(
        _loss_label(history, losses, validation, levels),
        WIDTH,
        HEIGHT,
        f'<path d="M{LEFT},{TOP} V{HEIGHT - BOTTOM} H{WIDTH - RIGHT}"/>',
        *lines,
        f'<polyline points="{curve}" stroke="{SHADE}" stroke-width="2"/>',
        f'<g fill="{MARK}" stroke="none">{dots}</g>',
        *names,
        *ticks,
        text(4, 12, "loss (nats)"),
        text(LEFT, HEIGHT - 8, "line: training; squares: validation"),
        text(WIDTH - RIGHT, HEIGHT - 8, f"step {len(history.losses):,}", "end"),
    )


def thinned(losses, window):
    """A curve of at most `POINTS` points: means over neighbours, and over at least a quarter of an epoch, whose batches differ.

    Returns
    -------
    steps, means : list of float
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    size = max(1, window // 4 if len(finite) > window else 1, math.ceil(len(finite) / POINTS))
    starts = range(0, len(finite), size)
    return [min(start + size, len(finite)) for start in starts], [float(np.mean(finite[start : start + size])) for start in starts]


def _loss_label(history, losses, validation, levels):
    known = ", ".join(f"{name} {level:.2f}" for name, level in levels.items())
    trained = f"training {losses[-1]:.3f}" if losses else "no training yet"
    held_out = f", validation {list(validation.values())[-1]:.3f}" if validation else ""
    return f"Loss after {len(history.losses):,} steps: {trained}{held_out}; known beforehand: {known}"


def _ticks(top):
    steps = (factor * 10.0**power for power in range(-1, 13) for factor in (1, 2, 5))
    step = next((step for step in steps if top / step <= 7), None)
    return [step * i for i in range(int(top / step) + 1)] if step else [0.0]


def short(number):
    """A number in at most six signs, such as fit beside an axis: 500000 is 5e5."""
    return f"{number:g}" if number < 10_000 else f"{number:.2g}".replace("e+0", "e").replace("e+", "e")


def movements_svg(moved):
    """How far a step moved each part, on a logarithmic axis with the healthy range shaded; and the length of its gradient.

    Parameters
    ----------
    moved : list of Movement

    Returns
    -------
    str
    """
    left, right, width = 76, 130, 390
    height = 44 + ROW * len(moved) + 30

    def place(power):
        return left + (width - left - right) * (min(max(power, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)

    low, high = (place(math.log10(limit)) for limit in HEALTHY_UPDATES)
    rows = []
    for i, movement in enumerate(moved):
        y = 44 + ROW * (i + 0.5)
        x = place(math.log10(movement.update_ratio)) if movement.update_ratio > 0 else place(LOWEST)
        rows.append(text(left - 8, y + 4, movement.part, "end"))
        rows.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{MARK}" stroke="none"/>')
        rows.append(text(width - right + 10, y + 4, f"{_ratio(movement)}, |g| {movement.gradient_norm:.1e}"))
    axis = 44 + ROW * len(moved) + 4
    ticks = [text(place(power), axis + 14, f"1e{power}" if power else "1", "middle", 11) for power in range(LOWEST, HIGHEST + 1, 2)]
    box = f'x="{low:.1f}" y="40" width="{high - low:.1f}" height="{ROW * len(moved) + 8}"'
    return svg(
        "Change of the weights by one step, as a share of them, usually between 1e-4 and 1e-2 where training goes well: "
        + "; ".join(f"{movement.part} {_ratio(movement)}, gradient {movement.gradient_norm:.1e}" for movement in moved),
        width,
        height,
        f'<rect {box} fill="{SHADE}" fill-opacity="0.25" stroke="none"/>',
        f'<path d="M{left},{axis} H{width - right}"/>',
        *ticks,
        *rows,
        text(4, 14, "change by a step / weights"),
        text(low, 34, "usual"),
    )


def _ratio(movement):
    if math.isnan(movement.update_ratio):
        return "all 0"
    return f"{movement.update_ratio:.0e}"
