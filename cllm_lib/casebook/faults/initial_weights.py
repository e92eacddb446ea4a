"""Defects of the initial weights."""

import math
from dataclasses import replace

from cllm_lib import defects
from cllm_lib.casebook.faults.catalogue import fault
from cllm_lib.model.initializers import scaled_normal, zeros


def _with(parts, init):
    return replace(parts, seams=parts.seams | {"init": init})


@fault("zero initialisation", "weights")
def zero_initialisation(parts, settings):
    """Every weight is exactly zero: the initialiser left without a word.

    Symptom
        The loss stands at ln V, to the last digit.
    Exposed by
        One line of weight magnitudes; every gradient is exactly 0 as well.
    Source
        The museum, "silent zero initialisation": the root cause of CLLM's 9.2103.
    Repair
        Initialise the arrays that the model really uses, and look at one of them afterwards.
    """
    return _with(parts, zeros)


@fault("only embeddings initialised", "weights")
def only_embeddings_initialised(parts, settings):
    """Embeddings are random, gains 1, and every matrix is zero: it was left as it was allocated.

    Symptom
        The loss falls, as if attention and feed-forward network were not there; their matrices never get a gradient.
    Exposed by
        Weight magnitudes, tensor by tensor.
    Source
        The museum, "half repair": commit d018b3c of CLLM.
    Repair
        Initialise every matrix.
    """
    return _with(parts, defects.EmbeddingsOnlyInit())


@fault("constant initialisation", "weights")
def constant_initialisation(parts, settings):
    """Every number of a matrix is the same, so that all hidden units and all heads compute the same and stay alike.

    Symptom
        The loss falls, hardly less far than the sound twin's: a layer is as wide as one unit, and a short text asks for no more.
    Exposed by
        The spread of each matrix: exactly 0.
    Source
        Goodfellow, Bengio, Courville 2016, "Deep Learning", section 8.4, on breaking symmetry.
    Repair
        Draw the numbers at random.
    """

    def init(parameters, generator):
        scaled_normal(parameters, generator)
        for name, array in parameters.items():
            if array.ndim == 2 and name.startswith("layers."):
                array[...] = 1.0 / array.shape[0]

    return _with(parts, init)


@fault("unscaled initialisation", "weights", "loss at the start")
def unscaled_initialisation(parts, settings):
    """Matrices are drawn with a standard deviation of 1, whatever their size.

    Symptom
        The loss starts at twice ln V or more, falls fast, and ends above the sound twin's; most hidden units are saturated.
    Exposed by
        How much longer a matrix makes a vector; the loss at the start.
    Source
        Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 4.2.
    Repair
        Divide by the root of the number of inputs.
    """

    def init(parameters, generator):
        scaled_normal(parameters, generator)
        for array in parameters.values():
            if array.ndim == 2:
                array[...] = generator.standard_normal(array.shape)

    return _with(parts, init)


@fault("dead units", "activation statistics", "weights")
def dead_units(parts, settings):
    """Half of the hidden units have no weight going in and none coming out: nothing reaches them, and no gradient ever does.

    Symptom
        None that a loss curve would show: it ends beside the sound twin's, though the layer is half as wide.
    Exposed by
        Hidden units that say the same on every word.
    Source
        Lu, Shin, Su, Karniadakis 2020, "Dying ReLU and Initialization: Theory and Numerical Examples"; here with tanh.
    Repair
        Initialise them like the others.
    """

    def init(parameters, generator):
        scaled_normal(parameters, generator)
        for name, array in parameters.items():
            half = settings.d_model  # of twice as many units
            if name.endswith("expand_weight"):
                array[:, half:] = 0.0
            elif name.endswith("contract_weight"):
                array[half:] = 0.0

    return _with(parts, init)


@fault("saturated units", "activation statistics", "weights")
def saturated_units(parts, settings):
    """The matrix before the hidden units is far too large: tanh says +1 or -1, and its slope is 0.

    Symptom
        The loss falls, and ends above the sound twin's: the gradient hardly passes the units.
    Exposed by
        The share of hidden units beyond 0.99.
    Source
        Glorot and Bengio 2010, section 3, on saturation.
    Repair
        Divide by the root of the number of inputs.
    """

    def init(parameters, generator):
        scaled_normal(parameters, generator)
        for name, array in parameters.items():
            if name.endswith("expand_weight"):
                array *= 8.0 * math.sqrt(settings.d_model)

    return _with(parts, init)
