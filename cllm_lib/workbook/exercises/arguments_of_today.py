"""Random arguments for the exercises on models of today, chapters 22 and 23; see :mod:`~cllm_lib.workbook.exercises.arguments`."""

from cllm_lib.workbook.exercises.byte_pairs import random_words, readable
from cllm_lib.workbook.exercises.chapter_22 import counted_from_the_start
from cllm_lib.workbook.exercises.chapter_23 import random_adapter, random_block, random_conversation
from cllm_lib.workbook.exercises.decoder_attention import attend_form, random_attend
from cllm_lib.workbook.exercises.trials import on


def sizes(generator, count, low=1, high=6):
    """So many whole numbers from `low` to below `high`."""
    return tuple(generator.integers(low, high, count).tolist())


# 22


def _norm(generator):
    *front, width = sizes(generator, int(generator.integers(1, 4)))
    size, eps = generator.choice([1.0, 1e-2]), float(generator.choice([1e-5, 1e-3, 0.1]))
    return *(scale * generator.standard_normal((*front, width)) for scale in (1.0, size)), generator.normal(1, 0.5, width), eps


def _gate(generator):
    shape = sizes(generator, int(generator.integers(1, 4)))
    return generator.standard_normal(shape), generator.normal(0, 3, shape), generator.standard_normal(shape)


def _shared(generator):
    batch, n_kv_heads, group, time, width = sizes(generator, 5)
    return generator.standard_normal((batch, n_kv_heads, time, width)), n_kv_heads * group


# 23


def _decoder_attention(generator):
    time, seen, n_kv_heads, group, half = (int(generator.integers(*ends)) for ends in ((1, 6), (0, 5), (1, 4), (1, 4), (1, 4)))
    return random_attend(generator, time, seen, n_kv_heads, group, 2 * half)


def _in_one_row(result, given):
    """Rows, keys and values side by side, so that they can be compared."""
    looked, kept = attend_form(result)
    return looked, *kept


OF_TODAY = {
    "22.2": on(_norm),
    "22.3": on(_gate),
    "22.4": on(_shared),
    "22.5": on(lambda generator: (2 * int(generator.integers(1, 33)),), seen=counted_from_the_start),
    "22.6": on(random_words, seen=readable),
    "23.2": on(lambda generator: (random_block(generator),)),
    "23.3": on(_decoder_attention, seen=_in_one_row),
    "23.4": on(random_conversation),
    "23.6": on(lambda generator: random_adapter(generator, *sizes(generator, 4))),
}
