"""A model's gradients, entry by entry, beside what nudging the weights measures."""

import ipywidgets
import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.instruments.diagnosis import float64_copy
from cllm_lib.instruments.gradient_check import SMALLEST_SHARE, agreement, angle_between, compare_entries, drawn_entries, relative_error
from cllm_lib.workbook.widgets.controls import Panel, choice
from cllm_lib.workbook.widgets.svg import MARK, SHADE, svg, text

SIDE = 260  # pixels
NOTHING = 1e-12  # a gradient shorter than this share of the longest is rounding


class GradientInspector(Panel):
    """Pick an array of parameters and an entry: the gradient there, the slope measured, and how far they are apart.

    Parameters
    ----------
    model : CLLM
        It is copied, in float64: what is shown belongs to the weights of this moment, and nothing changes them.
    tokens, targets : array_like of int, shape (B, T)
        Small, if it is to be quick: each array costs two losses an entry.
    sound_model : CLLM, optional
        One with the same weights and a right backward pass; then the angle between the two gradients is shown.
    array : str
        Where it opens.
    entries : int
        At most so many of each array, drawn by `seed`; the slider walks through them.
    seed : int

    Attributes
    ----------
    array, entry : ipywidgets.SelectionSlider
    sentence, picture : ipywidgets.HTML
    indices : list of tuple of int
    analytic, numeric : ndarray, shape (n,)
        Of the chosen array's entries, as :func:`~cllm_lib.instruments.gradient_check.compare_entries` gives them.

    Raises
    ------
    ValueError
        If there is no such array, or the sound model has other weights.
    """

    def __init__(self, model, tokens, targets, sound_model=None, array="embedding", entries=12, seed=0):
        one_of(array, model.parameters, "array")
        self.model, self.tokens, self.targets = float64_copy(model), tokens, targets
        self.gradients = self.model.loss_and_gradients(tokens, targets)[1]
        self.true_gradients = None if sound_model is None else _gradients_of_twin(sound_model, model, tokens, targets)
        self.entries, self.seed = entries, seed
        self._measured = {}
        self._smallest = SMALLEST_SHARE * max(np.abs(gradient).max() for gradient in self.gradients.values())
        self.array = choice("array", list(model.parameters), array, readout=False)  # the name stands below: too long here
        self.entry = choice("entry", [0], 0)
        self.sentence, self.picture = ipywidgets.HTML(), ipywidgets.HTML()
        self._measure()
        self.array.observe(self._measure, names="value")
        self.entry.observe(self._redraw, names="value")
        super().__init__([self.array, self.entry, self.sentence, self.picture])

    def __repr__(self):
        return "Gradients beside measured slopes, entry by entry (run this cell in JupyterLab to move through them)"

    def _measure(self, change=None):
        """Compare the drawn entries of the chosen array, the first time it is chosen."""
        name = self.array.value
        if name not in self._measured:
            weights = self.model.parameters[name]
            indices = drawn_entries(weights.shape, self.entries, np.random.default_rng(self.seed))
            pair = compare_entries(lambda: self.model.loss(self.tokens, self.targets), weights, self.gradients[name], indices)
            self._measured[name] = (indices, *pair)
        self.indices, self.analytic, self.numeric = self._measured[name]
        self._summary = self._summed_up(name)
        self.entry.options = [(str(list(index)), i) for i, index in enumerate(self.indices)]
        self._redraw()

    def _redraw(self, change=None):
        name, i = self.array.value, self.entry.value
        error = relative_error(self.analytic[i], self.numeric[i], self._smallest)
        numbers = f"gradient {self.analytic[i]:.4g}, measured slope {self.numeric[i]:.4g}, relative error {error:.1g}"
        entry = list(self.indices[i])
        self.sentence.value = "<br>".join([f"<b>{name}</b>{entry}: {numbers}.", *self._summary])
        description = " ".join([f"Gradient against measured slope. {name}{entry}: {numbers}.", *self._summary])
        self.picture.value = scatter_svg(self.analytic, self.numeric, i, description)

    def _summed_up(self, name):
        """What the entries shown have in common, and the whole array's angle: one sentence each."""
        sentences = [f"The {len(self.indices)} entries shown: {agreement(self.analytic, self.numeric)}."]
        if self.true_gradients is not None:
            sentences.append(self._angle(name))
        return sentences

    def _angle(self, name):
        nothing = NOTHING * max(np.linalg.norm(gradient) for gradient in self.true_gradients.values())
        if np.linalg.norm(self.true_gradients[name]) <= nothing:
            return "The true gradient of the whole array is 0, but for rounding."
        if np.linalg.norm(self.gradients[name]) <= nothing:
            return "The true gradient of the whole array is not 0, and this one is."
        angle = angle_between(self.gradients[name], self.true_gradients[name])
        return f"Angle to the true gradient of the whole array: {angle:.1f} degrees."


def scatter_svg(analytic, numeric, chosen, label):
    """Gradients upwards against measured slopes sideways, as SVG: right ones lie on the dashed diagonal.

    Parameters
    ----------
    analytic, numeric : ndarray, shape (n,)
    chosen : int
        The entry to point out.
    label : str
        The picture's description.

    Returns
    -------
    str
    """
    both = np.abs([analytic, numeric])
    reach = 1.1 * np.max(both[np.isfinite(both)], initial=0.0) or 1.0
    half, margin = SIDE / 2, 20

    def place(slope, gradient):
        return f'cx="{margin + half + half * slope / reach:.1f}" cy="{half - half * gradient / reach:.1f}"'

    dots = "".join(f'<circle {place(x, y)} r="3.5"/>' for x, y in zip(numeric, analytic, strict=True) if np.isfinite([x, y]).all())
    here = np.isfinite([numeric[chosen], analytic[chosen]]).all()
    mark = f'<circle {place(numeric[chosen], analytic[chosen])} r="7" stroke="{MARK}" stroke-width="2.5"/>' if here else ""
    return svg(
        label,
        SIDE + margin,
        SIDE + margin,
        f'<rect x="{margin}" y="1" width="{SIDE - 1}" height="{SIDE - 1}"/>',
        f'<path d="M{margin},{half} h{SIDE} M{margin + half},0 v{SIDE}" stroke-opacity="0.35"/>',
        f'<path d="M{margin},{SIDE} l{SIDE},-{SIDE}" stroke-dasharray="5 3"/><g fill="{SHADE}" stroke="none">{dots}</g>{mark}',
        text(margin, SIDE + 15, f"measured slope, {-reach:.2g} to {reach:.2g}"),
        f'<g transform="translate(14 {SIDE}) rotate(-90)">{text(0, 0, "gradient, same scale")}</g>',
    )


def _gradients_of_twin(sound_model, model, tokens, targets):
    for name, weights in model.parameters.items():
        if name not in sound_model.parameters or not np.array_equal(sound_model.parameters[name], weights):
            raise ValueError(
                f"{name!r} is not the same in both models: copy the weights first, sound_model.flat_parameters[...] = model.flat_parameters"
            )
    return float64_copy(sound_model).loss_and_gradients(tokens, targets)[1]
