"""What weights hold before the first step.

An initialiser is a function `initializer(parameters, generator)`. It fills the named arrays *in place*, `array[...] = values`:
they are views of the model's one buffer. (In a model's own dictionary `parameters[name] = values` copies the values into the
view as well; see :mod:`~cllm_lib.model.named`. In a plain one it would put another array there, which nobody reads.)
"""

import math

from cllm_lib.lattice.biases import alibi_slopes


def scaled_normal(parameters, generator):
    """Scaled normal initialisation: the spread of each matrix keeps the size of what flows through a layer.

    Embeddings, of words and of positions, get standard deviation 0.02, matrices 1 / sqrt(fan_in), gains 1 and biases 0.
    Slopes of a distance bias start at :func:`~cllm_lib.lattice.biases.alibi_slopes`.

    Parameters
    ----------
    parameters : dict of str to ndarray
        Named views, filled in place. Matrices are (fan_in, fan_out).
    generator : numpy.random.Generator
        Draws are made in float64 and rounded, so a float32 model starts at the rounded float64 one.

    Notes
    -----
    A sum of fan_in products of independent terms of variance 1 has variance fan_in; hence 1 / sqrt(fan_in)
    (LeCun et al. 1998, "Efficient BackProp", section 4.6).
    """
    for name, array in parameters.items():
        if name.endswith("bias"):
            array[...] = 0.0
        elif name.endswith("gain"):
            array[...] = 1.0
        elif name.endswith("slopes"):
            array[...] = alibi_slopes(array.size)
        elif name in ("embedding", "positions.table"):
            array[...] = 0.02 * generator.standard_normal(array.shape)
        else:
            fan_in = array.shape[0]
            array[...] = generator.standard_normal(array.shape) / math.sqrt(fan_in)


def zeros(parameters, generator):
    """Zero initialisation, gains included: a fixed point of any optimiser, and the state CLLM was trained in.

    Parameters
    ----------
    parameters : dict of str to ndarray
        Named views, filled in place.
    generator : numpy.random.Generator
        Not used; every initialiser has the same signature.
    """
    for array in parameters.values():
        array[...] = 0.0


INITIALIZERS = {"scaled_normal": scaled_normal, "zeros": zeros}
