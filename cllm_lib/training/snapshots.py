"""A trainer's state in memory: taken between two steps, and gone back to as often as one likes.

It holds what a checkpoint holds (:mod:`~cllm_lib.training.checkpoint`), and an optimiser of any kind besides. What a part
of the model, a schedule, a regularizer or a hook remembers is no more in it than in a checkpoint.
"""

import copy
from dataclasses import dataclass

import numpy as np

COUNTERS = ("steps", "gradient_norm", "learning_rate", "penalty", "run_ends", "_stood_still")


@dataclass(frozen=True)
class Snapshot:
    """What a trainer goes on from, besides its model's parts, its corpus and its settings; all of it copies.

    Attributes
    ----------
    parameters, gradients : ndarray, shape (n_parameters,)
    optimizer : object
    history : History
    best : Best or None
    place : tuple of (dict, int)
        Where in the text; see :attr:`~cllm_lib.training.trainer.Trainer.place`.
    counters : dict
        The rest: numbers, by the names they have in the trainer.
    """

    parameters: np.ndarray
    gradients: np.ndarray
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
    model = trainer.model
    state = copied((model.flat_parameters.copy(), model.flat_gradients.copy(), trainer.optimizer, trainer.history, trainer.best), trainer)
    return Snapshot(*state, place=copy.deepcopy(trainer.place), counters={name: getattr(trainer, name) for name in COUNTERS})


def go_back(trainer, snapshot):
    """Bring a trainer to where it was; the snapshot stays good for another time.

    Optimiser, history and best model are other objects afterwards: a variable that holds one of them keeps the old.

    Parameters
    ----------
    trainer : Trainer
    snapshot : Snapshot
        Of it.

    Raises
    ------
    ValueError
        If the model has another number of weights, or of another type, or an epoch of the trainer no such place. Nothing
        was changed then.
    """
    there, here = snapshot.parameters, trainer.model.flat_parameters
    if (there.shape, there.dtype) != (here.shape, here.dtype):
        sizes = f"{there.size:,} weights in {there.dtype}, and the model {here.size:,} in {here.dtype}"
        raise ValueError(f"the snapshot has {sizes}: go back to one of the same trainer")
    trainer.seek(*copy.deepcopy(snapshot.place))
    here[...], trainer.model.flat_gradients[...] = there, snapshot.gradients
    trainer.optimizer, trainer.history, trainer.best = copied((snapshot.optimizer, snapshot.history, snapshot.best), trainer)
    for name, value in snapshot.counters.items():
        setattr(trainer, name, value)


def copied(state, trainer):
    """A deep copy that stays with this trainer: an optimiser that knows the model, or an array of it, knows the same one."""
    model = trainer.model
    own = [trainer, model, trainer.corpus, *vars(model).values(), *model.parameters.values(), *model.gradients.values()]
    return copy.deepcopy(state, {id(one): one for one in own})
