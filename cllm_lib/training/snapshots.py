"""A trainer's state in memory: taken between two steps, and gone back to as often as one likes."""

import copy
from dataclasses import dataclass

import numpy as np

COUNTERS = ("steps", "gradient_norm", "learning_rate", "penalty", "run_ends")


@dataclass(frozen=True)
class Snapshot:
    """What a trainer goes on from, besides its model's parts, its corpus and its settings.

    Attributes
    ----------
    parameters : ndarray, shape (n_parameters,)
        Copies, as all that follows.
    optimizer : object
    history : History
    best : Best or None
    place : tuple of (dict, int)
        Where in the text; see :attr:`~cllm_lib.training.trainer.Trainer.place`.
    counters : dict
    """

    parameters: np.ndarray
    optimizer: object
    history: object
    best: object
    place: tuple
    counters: dict


def snapshot_of(trainer):
    """Copy what a trainer goes on from.

    Parameters
    ----------
    trainer : Trainer

    Returns
    -------
    Snapshot
    """
    kept = (trainer.model.flat_parameters, trainer.optimizer, trainer.history, trainer.best, trainer.place)
    return Snapshot(*copy.deepcopy(kept), {name: getattr(trainer, name) for name in COUNTERS})


def go_back(trainer, snapshot):
    """Bring a trainer to where it was; the snapshot stays good for another time.

    Parameters
    ----------
    trainer : Trainer
    snapshot : Snapshot
        Of it, or of one with a model of the same size.

    Raises
    ------
    ValueError
        If the model has another number of weights.
    """
    if snapshot.parameters.shape != trainer.model.flat_parameters.shape:
        sizes = f"{snapshot.parameters.size:,} weights, and the model {trainer.model.flat_parameters.size:,}"
        raise ValueError(f"the snapshot has {sizes}: go back to one of the same trainer")
    trainer.model.flat_parameters[...] = snapshot.parameters
    trainer.optimizer, trainer.history, trainer.best = copy.deepcopy((snapshot.optimizer, snapshot.history, snapshot.best))
    trainer.seek(*snapshot.place)
    for name, value in snapshot.counters.items():
        setattr(trainer, name, value)
