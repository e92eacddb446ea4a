"""A chat model with one hidden fault, and the suspects: the patient of the chapter on a model that answers.

Each fault is made of the sound model's configuration and arrays alone, as it would be by somebody who reads its file wrongly.
"""

from dataclasses import replace

import numpy as np

from cllm_lib.checks import one_of
from cllm_lib.lattice.encodings import rotate
from cllm_lib.model.attention import merge_heads, split_heads
from cllm_lib.pretrained.chat import ChatModel

PATIENT = "pairs"  # what the chapter's patient has


def pairs(config, layer):
    """Rotary turns columns i and i + d / 2 where the file has pairs of neighbours."""
    return replace(config, rope_pairs="halves"), layer


def base(config, layer):
    """A rotary base of 10,000, the usual one, where this model has another."""
    return replace(config, rope_base=10_000.0), layer


def gate(config, layer):
    """The two matrices that read the input of the feed-forward part have changed places."""
    weights = layer["feed_forward"]
    exchanged = {"gate_weight": weights["up_weight"], "up_weight": weights["gate_weight"]}
    return config, layer | {"feed_forward": weights | exchanged}


def heads(config, layer):
    """Keys and values go round among the heads of queries: 0 1 2 0 1 2, and not 0 0 1 1 2 2.

    Made by dealing out the queries' heads, and what the output takes of them, in another order.
    """
    weights, n_heads = layer["attention"], config.n_heads
    order = np.arange(n_heads, dtype=np.intp).reshape(-1, config.n_kv_heads).T.ravel()
    dealt = {
        "query_weight": merge_heads(split_heads(weights["query_weight"][None], n_heads)[:, order])[0],
        "output_weight": merge_heads(split_heads(weights["output_weight"].T[None], n_heads)[:, order])[0].T,
    }
    return config, layer | {"attention": weights | dealt}


def gains(config, layer):
    """The norms within the layers divide by the root mean square, and their gains are left out."""
    return config, layer | {name: {"gain": np.ones_like(layer[name]["gain"])} for name in ("attention_norm", "feed_forward_norm")}


def start(config, layer):
    """Places count from 1: made by turning queries and keys one place further, each."""
    weights = layer["attention"]
    turned = {}
    for name, n_heads in (("query_weight", config.n_heads), ("key_weight", config.n_kv_heads)):
        by_head = split_heads(weights[name][None], n_heads)
        places = np.ones(by_head.shape[-2], dtype=np.int64)
        turned[name] = merge_heads(rotate(by_head, places, config.rope_base, config.rope_pairs))[0]
    return config, layer | {"attention": weights | turned}


DECODER_FAULTS = {fault.__name__: fault for fault in (base, gains, gate, heads, pairs, start)}


def faulty_chat_model(model, fault=PATIENT):
    """A chat model as somebody has it who read its file with one fault: exercise 23.5.

    Parameters
    ----------
    model : ChatModel
        The sound one; it stays as it is.
    fault : {"base", "gains", "gate", "heads", "pairs", "start"}
        By default that of the chapter's patient.

    Returns
    -------
    ChatModel

    Raises
    ------
    ValueError
        If no fault is called so.
    """
    wrong = one_of(fault, DECODER_FAULTS, "fault")
    layers = [wrong(model.config, layer) for layer in model.parameters["layers"]]
    return ChatModel(layers[0][0], model.parameters | {"layers": [layer for _, layer in layers]}, model.tokenizer, model.system)
