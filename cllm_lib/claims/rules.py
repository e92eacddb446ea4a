"""The four rules of document 002: what they accuse, from what is printed, in each exhibit of the museum and a sound model."""

import numpy as np

from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.magnitudes import COUNTED, MOMENTS, printed_magnitudes
from cllm_lib.claims.questions import described
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, LENGTH, SEEDS
from cllm_lib.defects import ALL
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

RULES = {  # document 002, "After Diagnostics"
    "weights are zeros": "initialisation",
    "gradients are zeros": "backward pass",
    "gradients are huge (>1.0)": "gradient clipping",
    "gradients are tiny (<1e-6)": "learning rate",
}
GUILTY = {  # where a rule has a word for it; the faults of all other exhibits lie where no rule looks
    "silent zero initialisation": "initialisation",
    "half repair": "initialisation",
    "gradient of another loss": "backward pass",
    "missing attention gradient": "backward pass",
    "outer-product backward": "backward pass",
    "LayerNorm from the wrong tensor": "backward pass",
    "lost embedding gradient": "backward pass",
}
HEALTHY = "nothing wrong"


def accused_by_rules(printed):
    """Which of the four rules of document 002 fire on what it prints.

    Parameters
    ----------
    printed : dict of str to float
        As from :func:`printed_magnitudes`.

    Returns
    -------
    dict of str to bool
        Under the condition of each rule.
    """
    weights = [size for name, size in printed.items() if name.startswith("weight")]
    largest = [size for name, size in printed.items() if name.endswith("max")]
    fired = (min(weights) == 0.0, min(largest) <= COUNTED, max(largest) > 1.0, any(COUNTED < size < 1e-6 for size in largest))
    return dict(zip(RULES, map(bool, fired), strict=True))


@experiment(variants=(HEALTHY, *ALL), seeds=SEEDS, fast={"variants": [HEALTHY, "missing attention gradient"], "seeds": [0, 1]})
def rules(variant, seed):
    """Which rules fire on any of three batches, while a small model with one defect is trained as the program was."""
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=32, n_layers=2, n_heads=4, d_ff=128, seq_len=LENGTH)
    model, text, optimizer = CLLM(config, seed=seed), corpus, "sgd"
    if variant != HEALTHY:
        defect = ALL[variant]
        model = defect.patient(config, seed)
        text = {"corpus": lambda: defect.part(corpus), "loader": lambda: defect.part(["prose", "sayings"])}.get(
            defect.seam, lambda: corpus
        )()
        optimizer = defect.part(model) if defect.seam == "optimizer" else "sgd"
    fired = dict.fromkeys(RULES, False)

    def look(trainer):
        if trainer.steps in MOMENTS:
            now = accused_by_rules(printed_magnitudes(model))
            fired.update({rule: fired[rule] or now[rule] for rule in RULES})

    with np.errstate(all="ignore"):  # some of them diverge: a finding, not a warning
        Trainer(model, text, optimizer=optimizer, batch_size=BATCH, seed=seed, stop_when_not_finite=False).fit(
            steps=max(MOMENTS), callbacks=[look]
        )
    return {rule: float(yes) for rule, yes in fired.items()}


def accused_parts(variant):
    """For each seed the set of parts that the rules would have mended."""
    fired = np.array([values("rules", variant, rule) for rule in RULES])
    return [{part for part, yes in zip(RULES.values(), column, strict=True) if yes} for column in fired.T]


@measured(
    "18",
    "If weights are zeros: Need to fix initialization ... If gradients are zeros: Need to fix backward pass ... "
    "If gradients are huge (>1.0): Need gradient clipping ... If gradients are tiny (<1e-6): Need to increase learning rate",
    "002",
    section="Expected Outcomes, After Diagnostics",
    experiment=(
        "The four rules on what the document prints at batches 1, 5 and 10, for each exhibit of the museum and a sound model. No exhibit "
        "has a fault that clipping or a higher rate would mend: the last two rules can only be wrong here."
    ),
    change_our_mind="Other samples of the same size under which the rules name the faulty part of every exhibit.",
)
def diagnostic_rules():
    """Whether the faulty part is named, another, or none."""
    accused = {name: accused_parts(name) for name in ALL}
    named = np.array([[GUILTY.get(name) in parts for parts in accused[name]] for name in ALL])  # (exhibits, seeds)
    silent = np.array([[not parts for parts in accused[name]] for name in ALL])
    alarms = [bool(parts) for parts in accused_parts(HEALTHY)]
    found_always = [name for name, row in zip(ALL, named, strict=True) if row.all()]
    effects = [
        described("exhibits whose faulty part a rule names", named.mean(axis=0), "share", "share of few"),
        described("exhibits of which the rules say nothing", silent.mean(axis=0), "share", "share of few"),
        described("alarms over a sound model", alarms, "share of seeds", "yes or no"),
    ]
    right = {
        rule: [GUILTY.get(name) == part for name in ALL if values("rules", name, rule).any()] for rule, part in RULES.items()
    }  # of the exhibits over which it fires in any seed
    by_rule = ", ".join(f"{sum(hits)} of {len(hits)} ({rule})" for rule, hits in right.items())
    found = (
        f"where a rule fires it names the faulty part of {by_rule}; of {len(ALL)} exhibits "
        f"the rules name the faulty part of {len(found_always)} in every seed; "
        f"in the mean over seeds {effects[1].interval.mean:.0%} raise no alarm at all; a sound model raises one in {sum(alarms)} of "
        f"{len(alarms)} seeds"
    )
    return found, verdict(bool(named.all()), f"the fault is one of these: {', '.join(found_always)}" if found_always else None), effects
