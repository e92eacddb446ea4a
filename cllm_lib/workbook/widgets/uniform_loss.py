"""The loss of a uniform guess, at any number of words."""

import math

import ipywidgets

from cllm_lib.workbook.widgets.controls import WIDE, Panel
from cllm_lib.workbook.widgets.svg import MARK, SHADE, svg, text

WIDTH, HEIGHT, MARGIN = 420, 180, 34
LOG_MAX = 5.2  # powers of ten: up to about 158,000 words


class UniformLossExplorer(Panel):
    """A slider over V, and the loss of a uniform guess: number, sentence and point on the curve.

    Parameters
    ----------
    uniform_loss : callable
        From V to the loss in nats: the reader's own.
    vocab_size : int
        Where the slider starts.

    Attributes
    ----------
    slider : ipywidgets.FloatLogSlider
    sentence, picture : ipywidgets.HTML
    """

    def __init__(self, uniform_loss=math.log, vocab_size=10_000):
        self.uniform_loss = uniform_loss
        self.slider = ipywidgets.FloatLogSlider(
            value=vocab_size,
            base=10,
            min=0,
            max=LOG_MAX,
            step=0.02,
            readout=False,
            description="words, V",
            layout=WIDE,
        )
        self.slider.tooltip = "V, the number of words to choose from; the arrow keys move it"
        self.sentence = ipywidgets.HTML()
        self.picture = ipywidgets.HTML()
        self.slider.observe(self._redraw, names="value")
        self._redraw()
        super().__init__([self.slider, self.sentence, self.picture])

    def __repr__(self):
        return "A slider over V with the loss of a uniform guess (run this cell in JupyterLab to move it)"

    @property
    def vocab_size(self):
        """V, the whole number nearest to the slider."""
        return max(1, round(self.slider.value))

    def _redraw(self, change=None):
        size = self.vocab_size
        loss = float(self.uniform_loss(size))
        self.sentence.value = f"<p>V = <b>{size:,}</b>: every word gets 1 chance in {size:,}, and the loss is <b>{loss:.4f}</b> nats.</p>"
        self.picture.value = curve_svg(self.uniform_loss, size, loss)


def curve_svg(uniform_loss, size, loss):
    """The curve over V with one point on it, as SVG: drawn in the page, in the page's own colours.

    Parameters
    ----------
    uniform_loss : callable
    size : int
        V at the point.
    loss : float
        In nats.

    Returns
    -------
    str
    """
    top = max(float(uniform_loss(round(10**LOG_MAX))), 1e-9)

    def place(vocab_size, value):
        x = MARGIN + (WIDTH - 2 * MARGIN) * math.log10(max(vocab_size, 1)) / LOG_MAX
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / top
        return f"{x:.1f},{y:.1f}"

    sizes = sorted({round(10 ** (LOG_MAX * i / 40)) for i in range(41)})
    curve = " ".join(place(v, float(uniform_loss(v))) for v in sizes)
    x, y = place(size, loss).split(",")
    floor = HEIGHT - MARGIN
    return svg(
        f"Loss of a uniform guess against V on a logarithmic axis; at V = {size:,} it is {loss:.4f} nats",
        WIDTH,
        HEIGHT,
        f'<path d="M{MARGIN},{MARGIN // 2} V{floor} H{WIDTH - MARGIN // 2}"/>',
        f'<polyline points="{curve}" stroke="{SHADE}" stroke-width="2.5"/>',
        f'<path d="M{x},{floor} V{y} H{MARGIN}" stroke-dasharray="4 3"/>',
        f'<circle cx="{x}" cy="{y}" r="6" fill="{MARK}" stroke="none"/>',
        text(WIDTH - 110, HEIGHT - 10, "V (log scale)"),
        text(4, 12, "loss (nats)"),
    )
