"""The patients of the chapters: trainings, models, texts and quantisers with one hidden fault each, by letter, to be told apart.

Which letter has which fault stands here and nowhere in the notebooks.
"""

import numpy as np

from cllm_lib import defects
from cllm_lib.model.initializers import scaled_normal
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.optimizers import SGD
from cllm_lib.training.schedules import warmup
from cllm_lib.training.trainer import Trainer

STUCK_FAULTS = {"A": "clip", "B": "zero embedding", "C": "copy", "D": "rate"}
_RATE = 0.3


class _OnACopy(SGD):
    """It moves a copy of the weights, which the model never sees."""

    def step(self, parameters, gradients):
        super().step(parameters.copy(), gradients)


def _embedding_left_out(parameters, generator):
    scaled_normal(parameters, generator)
    parameters["embedding"][...] = 0.0


_STUCK = {  # another part of the model, or another argument of the trainer
    "zero embedding": ({"init": _embedding_left_out}, {}),
    "rate": ({}, {"schedule": warmup(10**9).factor}),  # the bare function: a trainer that knew of so long a rise would warn
    "clip": ({}, {"clip_norm": 1e-9}),
    "copy": ({}, {"optimizer": _OnACopy(_RATE)}),
}


def stuck_trainers(config, corpus, seed=0):
    """Make four trainings whose loss stands still, for one reason each, and a sound one, S: exercise 02.5.

    Parameters
    ----------
    config : CLLMConfig
    corpus : Corpus
    seed : int

    Returns
    -------
    dict of str to Trainer
        By plain gradient descent; none has begun.
    """
    trainers = {}
    for letter, fault in (STUCK_FAULTS | {"S": None}).items():
        parts, arguments = _STUCK.get(fault, ({}, {}))
        arguments = {"optimizer": SGD(_RATE)} | arguments
        trainers[letter] = Trainer(CLLM(config, seed, **parts), corpus, seed=seed, **arguments)
    return trainers


ATTENTION_FAULTS = {"A": "head stride", "B": "exponential", "C": "no residual", "D": "no mask", "E": "blocks"}
_ATTENTIONS = {  # the words of the exercise, and the names of the museum
    "no mask": "no causal mask",
    "head stride": "head stride",
    "blocks": "projection by blocks",
    "no residual": "no residual",
    "exponential": "home-made exponential",
}


def attention_patients(config, seed=0):
    """Make five models whose forward pass has one fault each, and a sound one, S: exercise 04.3.

    Parameters
    ----------
    config : CLLMConfig
    seed : int

    Returns
    -------
    dict of str to CLLM
    """
    return _with_a_sound_one(ATTENTION_FAULTS, _ATTENTIONS, config, seed)


GRADIENT_FAULTS = {"P": "LayerNorm", "Q": "embedding", "R": "outer product", "T": "missing"}
_GRADIENTS = {
    "LayerNorm": "LayerNorm from the wrong tensor",
    "embedding": "lost embedding gradient",
    "outer product": "outer-product backward",
    "missing": "missing attention gradient",
}


def gradient_patients(config, seed=0):
    """Make four models whose backward pass has one fault each, and a sound one, S: exercise 06.4.

    Parameters
    ----------
    config : CLLMConfig
    seed : int

    Returns
    -------
    dict of str to CLLM
    """
    return _with_a_sound_one(GRADIENT_FAULTS, _GRADIENTS, config, seed)


def _with_a_sound_one(faults, exhibits, config, seed):
    ill = {letter: defects.ALL[exhibits[fault]].patient(config, seed) for letter, fault in faults.items()}
    return ill | {"S": CLLM(config, seed)}


TEXT_FAULTS = {"A": "own word", "B": "one file", "C": "leak", "D": "shared ids", "E": "sorted"}
_FILES = ["sayings", "prose"]


def spoilt_texts(validation_fraction=0.15):
    """Make five corpora with one fault each, and the sound one, S: exercise 10.5.

    Parameters
    ----------
    validation_fraction : float

    Returns
    -------
    dict of str to Corpus
    """
    sound = load_corpus(_FILES, validation_fraction=validation_fraction)
    spoilt = {
        "own word": defects.TargetIsTheWordItself(sound),
        "sorted": defects.SortedByLocality(sound),
        "shared ids": defects.shared_ids(sound),
        "one file": defects.last_file_only(_FILES, validation_fraction=validation_fraction),
        "leak": defects.TrainedOnTheHeldOut(sound),
    }
    return {letter: spoilt[fault] for letter, fault in TEXT_FAULTS.items()} | {"S": sound}


QUANTIZER_FAULTS = {"A": "wrong sign", "B": "forgets the error", "C": "rounds down"}
_SHARE_AND_ROUNDING = {"wrong sign": (-1.0, np.rint), "forgets the error": (0.0, np.rint), "rounds down": (1.0, np.floor)}


def faulty_quantizer(letter):
    """Make one of three faulty quantisers, column by column as GPTQ goes: exercise 17.4.

    Parameters
    ----------
    letter : {"A", "B", "C"}

    Returns
    -------
    callable
        Of weights (rows, columns), hessian and scales; it returns integers.
    """
    share, rounding = _SHARE_AND_ROUNDING[QUANTIZER_FAULTS[letter]]

    def quantize(weights, hessian, scales):
        left, integers = weights.copy(), np.empty(weights.shape, dtype=np.int64)
        for j in range(weights.shape[1]):
            integers[:, j] = rounding(left[:, j] / scales[:, 0])
            error, rest = left[:, j] - scales[:, 0] * integers[:, j], slice(j + 1, None)
            left[:, rest] += share * np.outer(error, np.linalg.solve(hessian[rest, rest], hessian[rest, j]))
        return integers

    return quantize
