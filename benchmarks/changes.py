"""What changed since 2017, as a page: `make evidence` writes evidence/pages/CHANGES.md and evidence/changes.csv from the stored runs.

The runs are experiments like those behind the claims (cllm_lib/claims/changed_layers.py and its neighbours); `python -m
benchmarks.evidence changed_layer_rates changed_layers` makes some anew.
"""

from benchmarks.run import table
from cllm_lib import claims
from cllm_lib.claims import changed, changed_depth, changed_ladder, changed_layers, changed_units
from cllm_lib.experiments.intervals import interval
from cllm_lib.files import write_atomically

PAGE = "pages/CHANGES.md"


def write(folder):
    """Judge the family by what is stored, and write table and page.

    Parameters
    ----------
    folder : path
        Such as `evidence/`.
    """
    found = claims.changes()
    claims.write_changes(folder / changed.FILE, found)
    (folder / PAGE).parent.mkdir(exist_ok=True)
    write_atomically(folder / PAGE, page(found).encode("utf-8"))


def page(found):
    """The whole of CHANGES.md.

    Parameters
    ----------
    found : list of Change

    Returns
    -------
    str
    """
    how = (
        "Written by `make evidence`, from the runs in evidence/changed_*.csv; evidence/changes.csv has the same with more digits. A "
        "difference is that of two models with the same seed, and so the same batches, over ten seeds (0 to 9): the mean, and its 95 % "
        f"interval. Below 0 is better. The verdict rests on a wider interval, the corrected one, with which all {len(found)} comparisons "
        "hold at once (Bonferroni): better or worse, where it lies on one side of 0, and reaches beyond the margin; no difference that "
        "matters, where it stays within the margin on both sides; else undecided. Comparisons, margins and correction were frozen in "
        "evidence/protocol.json before the ten seeds were run. Models are small, texts and trainings short: what holds here need not hold "
        "of others."
    )
    parts = (layers(found), units(found), depth(found), ladder(found))
    return "\n\n".join(["# What changed since 2017", how, *(paragraph for part in parts for paragraph in part)]) + "\n"


def layers(found):
    """The parts of the layer, a table a text."""
    sizes = ", ".join(f"{name} {value}" for name, value in changed_layers.SHAPE.items())
    numbers = claims.values("changed_layers", changed_layers.OLD, "parameters", "patterns")[0]
    yield "## Parts of the layer"
    yield (
        f"Model: {sizes}, d_ff {changed_layers.D_FF} as in 2017, and otherwise what makes the numbers in the layers equal "
        f"({numbers:,.0f}, to one in a hundred; the embedding, tied, is the same for all). Adam down a cosine, batches of "
        f"{changed_layers.BATCH} sequences, few steps; of the last fifth of a text, which is held out, the first "
        f"{changed_layers.JUDGED:,} tokens are judged. {'; '.join(f'{text} is read in {read_as(text)}' for text in changed_layers.TEXTS)}. "
        f"Of the rates {', '.join(f'{rate:g}' for rate in changed_layers.RATES)} each took the best of seeds 100 to 102, by "
        f"held-out loss. Margin {changed_layers.MARGIN:g} nats. The form of 2017 is here CLLM's: LayerNorm behind the sums, tanh, as many "
        "heads of keys and values as of queries, no positions; the paper had ReLU, and sines, so what tells positions is compared with "
        "these, too."
    )
    yield at_the_edge("changed_layers", changed_layers.VARIANTS, changed_layers.RATES, changed_layers.TEXTS)
    for text in changed_layers.TEXTS:
        rows = [layer_row(variant, text, found) for variant in changed_layers.VARIANTS]
        header = [text, "rate", "d_ff", "numbers", "held-out loss", "minus 2017", "verdict", "minus the sines", "verdict"]
        yield f"{text}, {changed_layers.STEPS[text]} steps:"
        yield "\n".join(table(header, rows))


def at_the_edge(name, variants, rates, texts=("",)):
    """Which rates were chosen at the edge of those that were tried, and what that limits, in words."""
    told = []
    for word, edge in (("largest", max(rates)), ("smallest", min(rates))):
        found = {text: [variant for variant in variants if claims.values(name, variant, "rate", text)[0] == edge] for text in texts}
        which = [", ".join(those) + (f" ({text})" if text else "") for text, those in found.items() if those]
        if which:
            told.append(f"The {word} of these rates, {edge:g}, was best for {'; '.join(which)}.")
    if told:
        told.append(
            "There one beyond it might be better still: such a loss is that of the best of three rates, which need not be the best."
        )
    return " ".join(told) or "None of those that were chosen is the largest or the smallest."


def read_as(text):
    """In what a text is read, in words."""
    most = changed_layers.TEXTS[text].get("vocab_size")
    return "words" if most is None else f"byte pairs of {most} ids"


def layer_row(variant, text, found):
    """One line of such a table."""
    rate, d_ff, numbers = (claims.values("changed_layers", variant, measure, text)[0] for measure in ("rate", "d_ff", "parameters"))
    loss = interval(claims.values("changed_layers", variant, "held out", text))
    compared = [cells(variant, against, text, found) for against in (changed_layers.OLD, changed_layers.SINES)]
    return [variant, f"{rate:g}", f"{d_ff:.0f}", f"{numbers:,.0f}", f"{loss:.3f}", *compared[0], *compared[1]]


def cells(name, against, text, found):
    """Difference and verdict of one comparison; empty where it is none."""
    one = next((one for one in found if (one.name, one.against, one.text) == (name, against, text)), None)
    return ["", ""] if one is None else [f"{one.effect:+.3f}", one.verdict]


def units(found):
    """Characters, byte pairs and words."""
    names = ("rate", "vocabulary", "d_ff", "parameters", "unknown")
    rows = []
    for unit, width in changed_units.WIDTHS.items():
        rate, vocabulary, d_ff, numbers, unknown = (claims.values("changed_units", unit, name)[0] for name in names)
        bits = [f"{interval(claims.values('changed_units', unit, name)):.3f}" for name in (changed_units.BITS, changed_units.BITS_SPELLED)]
        rows.append([unit, f"{rate:g}", f"{vocabulary:,.0f}", f"{width}", f"{d_ff:.0f}", f"{numbers:,.0f}", f"{unknown:.1%}", *bits])
    yield "## What gets an id"
    yield (
        f"One text, {changed_units.TEXT} in small letters and without punctuation, in three units; {changed_units.JUDGED:,} words of "
        "its last fifth are judged, and what has an id is learnt from the rest. Equally many parameters, and "
        f"{changed_units.STEPS} steps of {changed_layers.BATCH} times "
        f"{changed_units.SHAPE['seq_len']} tokens for each: the same arithmetic, and the more text, the longer a token. The layer is "
        "today's, all together. Words lose what stands at <unk>: as they stand their bits per byte are too low; spelled, each unknown "
        "word costs what a trigram of characters asks for it, counted from the unknown words of the rest. "
        f"Margin {changed_units.MARGIN:g} bits per byte. Of the rates {', '.join(f'{rate:g}' for rate in changed_units.RATES)} each "
        f"took the best of seeds 100 to 102, by bits per byte. {at_the_edge('changed_units', changed_units.WIDTHS, changed_units.RATES)}"
    )
    header = ["unit", "rate", "ids", "d_model", "d_ff", "numbers", "unknown", "bits per byte", "unknown spelled"]
    yield "\n".join(table(header, rows))
    yield comparisons("units", found)


def depth(found):
    """The deep model of chapter 08."""
    freed = {
        variant: int((claims.values("changed_depth", variant, "above the line") < -changed_depth.MARGIN).sum())
        for variant in changed_depth.VARIANTS
    }
    sizes = ", ".join(f"{name} {value}" for name, value in changed_depth.SHAPE.items())
    yield "## Depth without a warm-up"
    yield (
        f"The deep model of chapter 08 ({sizes}; {changed_depth.TEXT}, {changed_depth.EPOCHS} epochs, Adam at {changed_depth.RATE:g} from "
        "the first step on) against the unigram entropy, where it stands without a warm-up. Freed is a run that ends more than "
        f"{changed_depth.MARGIN:g} nats below: {'; '.join(f'{variant}: {count} of 10' for variant, count in freed.items())}."
    )
    yield comparisons("depth", found)


def ladder(found):
    """The repair ladder with one repair left out, in both layers."""
    whole = {
        layer: interval(claims.values("changed_ladder", changed_ladder.named(layer), "above the line"))
        for layer in (changed_ladder.OF_2017, changed_ladder.OF_TODAY)
    }
    yield "## The repair ladder"
    yield (
        f"Chapter 09's program with all repairs but one, {changed_ladder.EPOCHS} epochs at a rate of {changed_ladder.RATE:g}, in the layer "
        "of 2017 and in one whose norms stand before the parts, with RMSNorm and SwiGLU. Where the loss is as low without a repair, the "
        f"ladder needs no such rung; margin {changed_ladder.MARGIN:g} nats. All repaired, the last epoch is on the mean so far from the "
        f"unigram entropy: {'; '.join(f'{layer} {mean:+.2f}' for layer, mean in whole.items())} nats. Not asked: the mask, without which a "
        "model sees its targets, and the second norm and attention's residual path, which today's layer consists of."
    )
    yield comparisons("ladder", found)


def comparisons(part, found):
    """The comparisons of one part as a table."""
    rows = [[one.name, one.against, f"{one.effect:+.3f}", one.verdict] for one in found if one.part == part]
    unit = next(one.effect.unit for one in found if one.part == part)
    return "\n".join(table(["", "minus", f"difference, {unit}", "verdict"], rows))
