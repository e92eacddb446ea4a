"""The patients of the chapters: models, texts and quantisers with one hidden fault each, by letter, for the reader to tell apart.

Which letter has which fault stands here and nowhere in the notebooks.
"""

import numpy as np

from cllm_lib import defects
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus

ATTENTION_FAULTS = {"A": "head stride", "B": "exponential", "C": "no residual", "D": "no mask", "E": "blocks"}
_ATTENTIONS = {  # the words of the exercise, and the names of the museum
    "no mask": "no causal mask",
    "head stride": "head stride",
    "blocks": "projection by blocks",
    "no residual": "no residual",
    "exponential": "home-made exponential",
}


def attention_patients(config, seed=0):
    """Make five models whose forward pass has one fault each, and a sound one, S: exercise 02.6.

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
    """Make four models whose backward pass has one fault each, and a sound one, S: exercise 03.8.

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
    """Make five corpora with one fault each, and the sound one, S: exercise 06.4.

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
    """Make one of three faulty quantisers, column by column as GPTQ goes: exercise 09.5.

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
