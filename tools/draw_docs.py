"""Draws the picture of the README: the loss of one model, all zero and initialised. `make docs` runs it."""

import sys
from pathlib import Path

import numpy as np

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.workbook import figures

DOCS = Path(__file__).resolve().parent.parent / "docs"


def two_loss_curves():
    """Twenty epochs each, of a larger model than chapter 01's: it is drawn once, and nobody waits for it."""
    corpus = load_corpus("sayings")
    config = CLLMConfig(vocab_size=10_000, d_model=128, n_layers=2, n_heads=4, d_ff=512)
    runs = {
        "the patient": CLLM(config, seed=0, init=defects.SilentZeroInit()),
        "the patient, cured": CLLM(config, seed=0),
    }
    curves = {name: Trainer(model, corpus).fit(epochs=20, progress=True).epoch_losses for name, model in runs.items()}
    return figures.loss_curves(curves, "Nothing crashed in either run", levels={"ln 10,000 = 9.2103": np.log(10_000)})


def main():
    """Draw into docs/."""
    DOCS.mkdir(exist_ok=True)
    axes = two_loss_curves()
    axes.figure.savefig(DOCS / "loss_curves.png", metadata={"Software": None})
    print("\n".join(figures.numbers_drawn(axes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
