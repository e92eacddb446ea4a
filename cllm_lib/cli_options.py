"""What was typed, looked at before anything is done: every number and every place, by the name of its option."""

import math
import os
from pathlib import Path

from cllm_lib.checks import at_most, non_negative_integer, non_negative_number, positive_integer, positive_number
from cllm_lib.files import no_place_for_a_file
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer import by_name
from cllm_lib.model.transformer_layer import TransformerLayer

MOST = 1_000_000_000  # of anything that is counted
LARGEST_RATE = 1e6
LARGEST_BASE = 1e12  # of rotary positions
COPIES = 4  # of a model while it trains: weights, gradients, and the optimiser's two sums
SIZES = "--vocab-size, --d-model, --d-ff or --layers"


def check(options):
    """Refuse a command line with a number that makes no sense, or a place where no file can be written.

    Parameters
    ----------
    options : argparse.Namespace

    Raises
    ------
    ValueError
        One sentence with the option's name.
    """
    for name, is_right in NUMBERS.items():
        value = getattr(options, name, None)
        if value is not None:
            is_right(value, f"--{name.replace('_', '-')}")
    for name in ("save", "csv"):
        place = getattr(options, name, None)
        if place is not None:
            _check_place(place, f"--{name}", options)
    if options.name == "resume" and options.save is None and Path(options.checkpoint).is_file():
        _check_place(options.checkpoint, "--save, if not given,", options)
    if getattr(options, "csv", None) and is_same_file(options.csv, options.save or options.checkpoint):
        raise ValueError(f"--csv and --save are both {options.csv}: one would overwrite the other, so name two files")


def check_size(config):
    """Refuse a model that this machine has no memory to train, before it is asked for.

    Parameters
    ----------
    config : CLLMConfig

    Raises
    ------
    ValueError
        With the options that make it so large.
    """
    positions = POSITIONS[config.positions]()
    layer = TransformerLayer(positions.make_attention(config)).parameter_shapes(config)
    once = {"positions": positions.parameter_shapes(config), "final_norm": layer["feed_forward_norm"] if config.norm_first else {}}
    rows = config.vocab_size * (1 if config.tie_embeddings else 2)
    count = config.n_layers * _numbers_of(layer) + _numbers_of(once) + rows * config.d_model
    needed, there = COPIES * count * (4 if config.dtype == "float32" else 8), _memory()
    if needed > there:
        raise ValueError(
            f"a model of {count:,} numbers takes {needed / 1e9:,.0f} GB while it trains, and this machine has {there / 1e9:,.0f}: "
            f"lower {SIZES}"
        )


def _numbers_of(shapes):
    return sum(math.prod(shape) for shape in by_name(shapes).values())


def _check_place(place, option, options):
    complaint = no_place_for_a_file(place)
    if complaint:
        raise ValueError(f"{option}: {complaint}")
    for source in getattr(options, "text", None) or ():
        if is_same_file(place, source):
            raise ValueError(f"{option} is {place}, which is a text to be read: name another file")


def is_same_file(one, other):
    """Whether two names lead to one file, there already or not."""
    return os.path.realpath(one) == os.path.realpath(other)


def _memory():
    """Bytes of memory that this machine has; without limit where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


def _count(value, name):
    at_most(positive_integer(value, name), MOST, name, "more than there can be")


def _rate(value, name):
    positive_number(value, name, "; at a rate of 0 no weight moves")
    if value > LARGEST_RATE:
        raise ValueError(
            f"{name} is {value:g}: steps of that length leave all weights useless; give {LARGEST_RATE:,.0f} at most, 0.001 is usual"
        )


def _base(value, name):
    positive_number(value, name, ", such as 500_000")
    if value > LARGEST_BASE:
        raise ValueError(f"{name} is {value:g}: so slow a turn tells no positions apart; give {LARGEST_BASE:,.0f} at most, 10,000 is usual")


def _clip(value, name):
    positive_number(value, name, ", such as 1.0; a limit of 0 lets no gradient through, and without the option there is no limit")


def _share(value, name):
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} is {value!r}: give a share from 0 to below 1, such as 0.1")


def _probability(value, name):
    if not 0.0 < value <= 1.0:
        raise ValueError(f"{name} is {value!r}: give a probability above 0 and at most 1, or leave it out to keep every token")


COUNTS = (
    *("vocab_size", "d_model", "layers", "heads", "kv_heads", "d_ff", "seq_len", "warmup_steps", "batch_size", "accumulate"),
    *("evaluate_every", "patience", "epochs", "tokens", "max_tokens", "top_k"),
)
NUMBERS = dict.fromkeys(COUNTS, _count) | {
    "seed": non_negative_integer,
    "rope_base": _base,
    "learning_rate": _rate,
    "clip_norm": _clip,
    "validation_fraction": _share,
    "temperature": non_negative_number,
    "top_p": _probability,
}
