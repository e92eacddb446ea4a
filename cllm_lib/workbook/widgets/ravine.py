"""An optimiser on its way down a ravine."""

import ipywidgets
import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.training.optimizers import OPTIMIZERS
from cllm_lib.training.ravine import CURVATURE, START, STEPS, ravine_loss, ravine_path
from cllm_lib.workbook.widgets.controls import Panel, choice, stops
from cllm_lib.workbook.widgets.svg import MARK, SHADE, svg, text

SETTINGS = {  # arguments of each optimiser, and the sliders they are read from
    "sgd": {},
    "momentum": {"momentum": "beta1"},
    "rmsprop": {"decay": "beta2"},
    "adam": {"beta1": "beta1", "beta2": "beta2"},
}
RATES = [float(f"{digit}e{power}") for power in (-3, -2, -1) for digit in range(1, 10)] + [1.0]
BETAS1 = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
BETAS2 = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999]
WIDTH, HEIGHT = 500, 200
LEVELS = [4.0**power for power in (0, -1, -2, -3, -4)]  # of the loss at the start: each ellipse half as wide as the one before


class OptimizerRavine(Panel):
    """Choose an optimiser and its settings: the path it takes down a ravine, and the loss where it ends.

    Parameters
    ----------
    optimizer : {"sgd", "momentum", "rmsprop", "adam"}
    learning_rate, beta1, beta2 : float
        Where the sliders start. Momentum's share is beta1, RMSProp's is beta2; a slider that is not used is grey.
    start : sequence of float
        x and y.
    curvature : float
        Across the ravine; along it the curvature is 1.
    steps : int

    Attributes
    ----------
    optimizer, learning_rate, beta1, beta2 : ipywidgets.SelectionSlider
    sentence, picture : ipywidgets.HTML
    path : ndarray, shape (steps + 1, 2)
        As :func:`~cllm_lib.training.ravine.ravine_path` gives it.

    Raises
    ------
    ValueError
        If the optimiser is unknown, or refuses a setting.
    """

    def __init__(self, optimizer="momentum", learning_rate=0.03, beta1=0.9, beta2=0.999, start=START, curvature=CURVATURE, steps=STEPS):
        one_of(optimizer, SETTINGS, "optimizer")
        self.start, self.curvature, self.steps = start, curvature, steps
        self.optimizer = choice("optimiser", list(SETTINGS), optimizer)
        self.learning_rate = stops("rate", RATES, learning_rate)
        self.beta1, self.beta2 = stops("beta1", BETAS1, beta1), stops("beta2", BETAS2, beta2)
        for name in SETTINGS:
            self._new(name)  # a setting that one of them refuses is refused now
        self.sentence, self.picture = ipywidgets.HTML(), ipywidgets.HTML()
        controls = [self.optimizer, self.learning_rate, self.beta1, self.beta2]
        for control in controls:
            control.observe(self._redraw, names="value")
        self._redraw()
        super().__init__([*controls, self.sentence, self.picture])

    def __repr__(self):
        return "An optimiser on a ravine, with sliders for its settings (run this cell in JupyterLab to move them)"

    def _new(self, name):
        """An optimiser of that name with the settings of the sliders."""
        settings = {argument: getattr(self, slider).value for argument, slider in SETTINGS[name].items()}
        return OPTIMIZERS[name](self.learning_rate.value, **settings)

    def _redraw(self, change=None):
        name = self.optimizer.value
        used = SETTINGS[name]
        self.beta1.disabled, self.beta2.disabled = ("beta1" not in used.values(), "beta2" not in used.values())
        self.path = ravine_path(self._new(name), self.start, self.curvature, self.steps)
        losses = ravine_loss(self.path, self.curvature)
        shown = ", ".join([f"rate {self.learning_rate.label}", *(f"{slider} {getattr(self, slider).label}" for slider in used.values())])
        outcome = f"after {self.steps} steps the loss is {losses[-1]:.3g}, from {losses[0]:.3g} at the start"
        verdict = "" if losses[-1] <= losses[0] else ": it diverged"
        self.sentence.value = f"<p><b>{name}</b> ({shown}): {outcome}<b>{verdict}</b>.</p>"
        self.picture.value = path_svg(self.path, self.curvature, f"Path of {name}, {shown}: {outcome}{verdict}")


def path_svg(path, curvature, label):
    """A path in the ravine, one dot a step, over lines of equal loss, as SVG; x and y have the same scale.

    Parameters
    ----------
    path : ndarray, shape (n, 2)
    curvature : float
    label : str
        The picture's description.

    Returns
    -------
    str
    """
    reach = 1.25 * max(abs(path[0, 0]), abs(path[0, 1]) * WIDTH / HEIGHT, 1e-9)  # x from -reach to reach
    scale = WIDTH / 2 / reach
    middle = np.array([WIDTH, HEIGHT]) / 2
    loss = float(ravine_loss(path[0], curvature))
    radii = [(scale * (2 * loss * level) ** 0.5, scale * (2 * loss * level / curvature) ** 0.5) for level in LEVELS]
    ellipses = "".join(f'<ellipse cx="{middle[0]:g}" cy="{middle[1]:g}" rx="{rx:.1f}" ry="{ry:.1f}"/>' for rx, ry in radii)
    near = np.abs(path).max(axis=1) < 10 * reach  # NaN is not near
    visible = path[: len(path) if near.all() else int(near.argmin())]
    places = [f"{x:.1f},{y:.1f}" for x, y in middle + scale * visible * [1, -1]]
    dots = "".join('<circle cx="{}" cy="{}" r="2"/>'.format(*place.split(",")) for place in places)
    ends = "".join(
        f'<circle cx="{{}}" cy="{{}}" r="6" fill="{fill}" stroke="{MARK}" stroke-width="2"/>'.format(*place.split(","))
        for place, fill in ((places[0], "none"), (places[-1], MARK))
    )
    return svg(
        label,
        WIDTH,
        HEIGHT + 20,
        f'<svg width="{WIDTH}" height="{HEIGHT}">',  # cuts off what leaves it
        f'<g stroke-opacity="0.35">{ellipses}</g><path d="M{middle[0] - 5:g},{middle[1]:g} h10 m-5,-5 v10"/>',
        f'<polyline points="{" ".join(places)}" stroke="{SHADE}" stroke-width="1.8"/>',
        f'<g fill="{SHADE}" stroke="none">{dots}</g>{ends}</svg>',
        text(2, HEIGHT + 14, "ring: start; disc: end; cross: minimum; ellipses: lines of equal loss; one dot a step"),
    )
