"""A pretrained encoder that the world uses, run by the functions of chapters 03 and 05: sentences in, rows out.

It reads a sentence and makes one row of it, so that sentences of like meaning get rows of like direction.

Shapes: N sentences, T tokens, D d_model, H heads, L layers.

Notes
-----
Wang et al. 2020, "MiniLM" (how the one of chapter 21 came to be so small). What is computed stands in
:mod:`cllm_lib.pretrained.bert_layers`, how a folder is read in :mod:`cllm_lib.pretrained.folders`.
"""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cllm_lib.checks import at_most, non_negative_number, one_of, positive_integer
from cllm_lib.model.attention import PROJECTIONS, weights_of
from cllm_lib.model.config import DTYPES
from cllm_lib.model.named import FixedArrays
from cllm_lib.pretrained.bert_layers import encoder_forward, l2_normalize, mean_pooling, pad_batch

ROWS = 128  # of a batch: more leave the processor's cache, fewer make more calls
REPLACED = "encoder.with_parameters({name: array}) makes an encoder in which some are replaced"
TOKEN_TYPES = 2  # rows that BERT learned for "first text" and "second text" of a pair; a single sentence is a first


@dataclass(frozen=True)
class EncoderConfig:
    """The size and shape of an encoder, by the names of :class:`~cllm_lib.model.config.CLLMConfig`.

    Parameters
    ----------
    vocab_size, d_model, n_layers, n_heads, d_ff : int
    seq_len : int
        Positions that there are.
    max_tokens : int
        Where a sentence is cut, marks for beginning and end included; `seq_len` at most.
    eps : float
        Of LayerNorm.
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, `d_model` is no multiple of `n_heads`, a sentence may have more tokens
        than there are positions, or eps is negative or no number.
    """

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    seq_len: int
    max_tokens: int
    eps: float = 1e-12
    dtype: str = "float32"

    def __post_init__(self):
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "d_ff", "seq_len", "max_tokens"):
            positive_integer(getattr(self, name), name)
        at_most(self.max_tokens, self.seq_len, "max_tokens", "there are no more positions")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model = {self.d_model} is not divisible by n_heads = {self.n_heads}: give a multiple of it")
        non_negative_number(self.eps, "eps")
        one_of(self.dtype, DTYPES, "dtype")

    def parameter_shapes(self):
        """Name and shape of every array, nested as :func:`~cllm_lib.pretrained.bert_layers.encoder_forward` takes them."""
        width, inner = self.d_model, self.d_ff
        norm = {"gain": (width,), "bias": (width,)}
        square = {
            f"{name}_{kind}": shape for name in (*PROJECTIONS, "output") for kind, shape in (("weight", (width, width)), ("bias", (width,)))
        }
        feed_forward = {
            "expand_weight": (width, inner),
            "expand_bias": (inner,),
            "contract_weight": (inner, width),
            "contract_bias": (width,),
        }
        layer = {"attention": square, "attention_norm": norm, "feed_forward": feed_forward, "feed_forward_norm": norm}
        return {
            "embedding": (self.vocab_size, width),
            "positions": {"table": (self.seq_len, width)},
            "token_types": {"table": (TOKEN_TYPES, width)},
            "embedding_norm": norm,
            "layers": {str(i): layer for i in range(self.n_layers)},
        }


class Trace(NamedTuple):
    """What goes on inside for one sentence.

    Attributes
    ----------
    tokens : list of str
        T of them, the marks for beginning and end among them.
    hidden : ndarray, shape (L + 1, T, D)
        After the embedding, and after each layer.
    weights : ndarray, shape (L, H, T, T)
        `[layer, head, query, key]`: how each query divides its look.
    """

    tokens: list
    hidden: np.ndarray
    weights: np.ndarray


class Encoder:
    """Sentences in, rows of length 1 out. :func:`~cllm_lib.pretrained.folders.load_encoder` makes one.

    Attributes
    ----------
    config : EncoderConfig
    parameters : dict of str to ndarray
        By the names that CLLM uses, `layers.0.attention.query_weight` and so on; matrices are (n_in, n_out). To change some
        of them, take :meth:`with_parameters`.
    parts : dict
        The same arrays, nested: `parts["layers"]["0"]["attention"]["query_weight"]`.
    tokenizer : tokenizers.Tokenizer

    Examples
    --------
    >>> from cllm_lib.pretrained.folders import load_encoder
    >>> encoder = load_encoder()  # doctest: +SKIP
    >>> car, automobile = encoder.embed(["car", "automobile"])  # doctest: +SKIP
    >>> round(float(car @ automobile), 3)  # doctest: +SKIP
    0.865
    """

    def __init__(self, config, parameters, tokenizer):
        self.config, self.tokenizer = config, tokenizer
        self.parameters = FixedArrays(parameters, REPLACED)
        self.parts = _nested(parameters)

    @property
    def matrices(self):
        """Names of the matrices of the layers, six in each: what is worth quantising."""
        return [name for name in self.parameters if name.startswith("layers.") and name.endswith("_weight")]

    def with_parameters(self, changed):
        """An encoder with some arrays replaced; this one stays as it is, and the others are shared.

        Parameters
        ----------
        changed : dict of str to ndarray
            Some of :attr:`parameters`, of the same shapes.

        Returns
        -------
        Encoder

        Raises
        ------
        ValueError
            If there is no parameter of that name, or its shape is another.
        """
        arrays = dict(self.parameters)
        for name, array in changed.items():
            if name not in arrays:
                raise ValueError(f"there is no parameter {name!r}: {', '.join(list(arrays)[:3])} and so on are names of them")
            if np.shape(array) != arrays[name].shape:
                raise ValueError(f"{name} has shape {np.shape(array)}, this encoder's has {arrays[name].shape}")
            arrays[name] = np.ascontiguousarray(array, self.config.dtype)
        twin = copy.copy(self)
        Encoder.__init__(twin, self.config, arrays, self.tokenizer)
        return twin

    def tokens(self, sentences):
        """The token ids of each sentence, marks for beginning and end among them, cut at `config.max_tokens`.

        Returns
        -------
        list of ndarray of int, shapes (T,)

        Raises
        ------
        ValueError
            If `sentences` is not a list of strings.
        """
        encodings = self.tokenizer.encode_batch(_checked_sentences(sentences))
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def embed(self, sentences):  # -> (N, D)
        """One row of length 1 for each sentence; the product of two rows is their cosine, 1 for the same direction.

        Parameters
        ----------
        sentences : list of str, N of them
            A sentence of more than `config.max_tokens` tokens is read to that length, and the rest is not seen.

        Returns
        -------
        ndarray, shape (N, D)
            A row does not depend on the other sentences, but for rounding.

        Raises
        ------
        ValueError
            As :meth:`tokens`.
        """
        return self.embed_tokens(self.tokens(sentences))

    def embed_tokens(self, sentences):  # -> (N, D)
        """The same from token ids, as :meth:`tokens` gives them."""
        rows = np.empty((len(sentences), self.config.d_model), self.config.dtype)
        for where, tokens, is_token in _batches(sentences):
            hidden, _ = encoder_forward(tokens, is_token, self.parts, self.config)
            rows[where] = l2_normalize(mean_pooling(hidden, is_token))
        return rows

    def trace(self, sentence):
        """Everything that happens to one sentence.

        Returns
        -------
        Trace
        """
        (ids,) = self.tokens([sentence])
        _, steps = encoder_forward(ids[None], np.ones((1, len(ids)), dtype=bool), self.parts, self.config)
        weights = [weights_of(cache[0])[0] for _, cache in steps[1:]]
        return Trace([self.tokenizer.id_to_token(i) for i in ids.tolist()], np.stack([y[0] for y, _ in steps]), np.stack(weights))

    def run_with_hook(self, sentences, hook):
        """Run sentences forward with a hook, which is handed the inputs of each matrix.

        Parameters
        ----------
        sentences : list of str
        hook : callable
            Called as `hook(name, inputs)` for every name of :attr:`matrices`, several times; `inputs` are (rows, n_in), one
            row a token. Query, key and value get the same array. Not to be written to.

        Notes
        -----
        With `inputs.T @ inputs` added up under each name, this is how the matrices are made ready for
        :func:`~cllm_lib.quantization.matrices.gptq`; :meth:`with_parameters` then puts the rounded ones in.
        """
        for _, tokens, is_token in _batches(self.tokens(sentences)):
            _, steps = encoder_forward(tokens, is_token, self.parts, self.config)
            for i, (_, cache) in enumerate(steps[1:]):
                for name, x in _matrix_inputs(cache).items():
                    hook(f"layers.{i}.{name}", x[is_token])


def _matrix_inputs(cache):
    """What the six matrices of a layer were multiplied by, from the caches of their `linear_forward`."""
    (projections, _, output, _), expand, contract = cache
    inputs = {f"attention.{name}_weight": x for name, (x, _) in zip(PROJECTIONS, projections, strict=True)}
    return inputs | {
        "attention.output_weight": output[0],
        "feed_forward.expand_weight": expand[0],
        "feed_forward.contract_weight": contract[0],
    }


def _batches(sentences):
    """Sentences of like length in padded batches: where they stood, tokens, which are tokens."""
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    while order:
        count = 1
        while count < len(order) and (count + 1) * len(sentences[order[count]]) <= ROWS:
            count += 1
        where, order = order[:count], order[count:]
        yield where, *pad_batch([sentences[i] for i in where])


def _checked_sentences(sentences):
    if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
        found = repr(sentences)[:40] if isinstance(sentences, str) else next(repr(x)[:40] for x in sentences if not isinstance(x, str))
        raise ValueError(f"sentences are a list of strings, and here is {found}: give [sentence] for a single one")
    # Half a character of UTF-16, as broken files leave it, has no UTF-8: the sign that stands for what cannot be read.
    return [sentence.encode("utf-8", "replace").decode("utf-8") for sentence in sentences]


def _nested(parameters):
    """The same arrays, a dictionary within a dictionary for each dot in their names."""
    found = {}
    for name, array in parameters.items():
        *path, last = name.split(".")
        node = found
        for step in path:
            node = node.setdefault(step, {})
        node[last] = array
    return _fixed(found)


def _fixed(node):
    return FixedArrays({name: _fixed(part) if isinstance(part, dict) else part for name, part in node.items()}, REPLACED)
