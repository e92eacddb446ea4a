"""Four encoders with one hidden fault each, by letter: the patients of the chapter on a real model."""

from functools import partial

from cllm_lib.checks import one_of
from cllm_lib.model.activation_functions import gelu_forward
from cllm_lib.model.attention import attention_forward, causal_mask, scaled_dot_product_forward
from cllm_lib.model.layers import layer_norm_forward, linear_forward
from cllm_lib.pretrained.bert_layers import encoder_layer_forward, l2_normalize, mean_pooling, pad_batch

ENCODER_FAULTS = {"A": "no positions", "B": "norm first", "C": "causal mask", "D": "mean over padding"}


def faulty_encoder(letter, encoder, sentences):
    """Return what one of four faulty encoders makes of sentences that go through together: exercise 21.5.

    Parameters
    ----------
    letter : {"A", "B", "C", "D"}
    encoder : Encoder
        The right one, whose parameters all four have.
    sentences : list of str

    Returns
    -------
    hidden : ndarray, shape (B, T, D)
    rows : ndarray, shape (B, D)
        Of length 1.

    Raises
    ------
    ValueError
        If there is no encoder of that letter.
    """
    fault, parts, config = one_of(letter, ENCODER_FAULTS, "faulty encoder"), encoder.parts, encoder.config
    tokens, is_token = pad_batch(encoder.tokens(sentences))
    mask = is_token[:, None, None, :]
    if fault == "causal mask":
        mask = mask & causal_mask(tokens.shape[1])
    x = parts["embedding"][tokens] + parts["token_types"]["table"][0]
    if fault != "no positions":
        x = x + parts["positions"]["table"][: tokens.shape[1]]
    x, _ = layer_norm_forward(x, **parts["embedding_norm"], eps=config.eps)
    layer_forward = _norm_first if fault == "norm first" else encoder_layer_forward
    for layer in parts["layers"].values():
        x, _ = layer_forward(x, layer, config.n_heads, config.eps, mask)
    return x, l2_normalize(x.mean(axis=1) if fault == "mean over padding" else mean_pooling(x, is_token))


def _norm_first(x, parameters, n_heads, eps, mask):
    """Pre-LayerNorm, with weights that were trained for the other order."""
    normed, _ = layer_norm_forward(x, **parameters["attention_norm"], eps=eps)
    x = x + attention_forward(normed, parameters["attention"], n_heads, partial(scaled_dot_product_forward, mask=mask))[0]
    normed, _ = layer_norm_forward(x, **parameters["feed_forward_norm"], eps=eps)
    weights = parameters["feed_forward"]
    expanded, _ = linear_forward(normed, weights["expand_weight"], weights["expand_bias"])
    return x + linear_forward(gelu_forward(expanded), weights["contract_weight"], weights["contract_bias"])[0], None
