"""What to do while a model trains: `trainer.fit(epochs=20, callbacks=[every(100, speak("the sky is"))], progress=True)`.

A callback is a function of the trainer, called after every step. These print above the progress bar instead of into it.
"""

import numpy as np

from cllm_lib.checks import positive_integer
from cllm_lib.instruments.diagnosis import examine
from cllm_lib.model.generation import generate
from cllm_lib.terminal import harmless


def every(steps, action):
    """Call `action(trainer)` after each `steps` steps only.

    Parameters
    ----------
    steps : int
    action : callable

    Returns
    -------
    callable
    """
    steps = positive_integer(steps, "steps")

    def callback(trainer):
        if trainer.steps % steps == 0:
            action(trainer)

    return callback


def speak(prompt, max_new_tokens=12, temperature=0.7):
    """Let the model continue a prompt, and print what it says.

    Parameters
    ----------
    prompt : str
    max_new_tokens : int
    temperature : float
    """

    def callback(trainer):
        tokens = trainer.corpus.encode(prompt)
        said = generate(trainer.model, tokens, max_new_tokens, temperature, seed=trainer.steps)
        _print(f"step {trainer.steps:,}: {trainer.corpus.decode(said)}")

    return callback


def save_to(path):
    """Save the whole run; see :meth:`~cllm_lib.training.trainer.Trainer.save`."""
    return lambda trainer: trainer.save(path)


def look_for_trouble(seed=0):
    """Examine every tensor on one batch, and print the verdict unless nothing is wrong.

    Parameters
    ----------
    seed : int
        Of the choice of the batch.
    """

    def callback(trainer):
        batch = next(trainer.corpus.batches(trainer.batch_size, trainer.model.config.seq_len, np.random.default_rng(seed)))
        diagnosis = examine(trainer.model, *batch, vocabulary=trainer.corpus.vocabulary)
        if not diagnosis.is_healthy:
            _print(f"step {trainer.steps:,}: {diagnosis.verdict}")

    return callback


def _print(words):
    from tqdm import tqdm  # here, not above: it would double the time `import cllm_lib` takes

    tqdm.write(harmless(words))
