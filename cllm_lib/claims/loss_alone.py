"""What the printed loss alone tells of a fault, without a line on weights or gradients."""

import numpy as np

from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.questions import below, every
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import BATCH, SEEDS, SMALL
from cllm_lib.defects import ALL
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.text.corpora import load_corpus
from cllm_lib.training.trainer import Trainer

HEALTHY, INCIDENT = "nothing wrong", "silent zero initialisation"
SUSPECTS = (HEALTHY, *(name for name, one in ALL.items() if one.seam not in ("optimizer", "corpus", "loader")))
EPOCHS_PRINTED = 3
LARGEST = 1_000.0  # what a loss that is not finite counts as


@experiment(variants=SUSPECTS, seeds=SEEDS, fast={"variants": [HEALTHY, INCIDENT], "seeds": [0, 1]})
def printed_losses(variant, seed):
    """The losses that three epochs print, of a small model with one fault, or none, trained by Adam."""
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), **SMALL)
    model = CLLM(config, seed=seed) if variant == HEALTHY else ALL[variant].patient(config, seed)
    trainer = Trainer(model, corpus, batch_size=BATCH, seed=seed, stop_when_not_finite=False)
    with np.errstate(all="ignore"):  # some of them diverge: a finding, not a warning
        losses = trainer.fit(epochs=EPOCHS_PRINTED).epoch_losses
    return {f"epoch {i}": min(float(np.nan_to_num(loss, nan=LARGEST)), LARGEST) for i, loss in enumerate(losses, 1)}


def named_by_losses():  # -> (suspects, seeds)
    """Whether the losses of each suspect, seed by seed, are nearer to its own mean over the other seeds than to any other's."""
    curves = np.log([[values("printed_losses", name, f"epoch {i}") for i in range(1, EPOCHS_PRINTED + 1)] for name in SUSPECTS])
    named = []
    for seed in range(curves.shape[-1]):
        known = np.delete(curves, seed, axis=-1).mean(axis=-1)  # (suspects, epochs)
        nearest = np.abs(curves[:, None, :, seed] - known).max(axis=-1).argmin(axis=1)
        named.append(nearest == np.arange(len(SUSPECTS), dtype=np.intp))
    return np.array(named).T


OTHERS = below("share of the other faults that the losses name", 0.5, 0.0, "share", "share of few")


@measured(
    "18",
    "Cannot debug training issues - no visibility into gradients or weights",
    "000",
    section="3. No Diagnostic Information",
    experiment=(
        f"The losses that {EPOCHS_PRINTED} epochs print, and nothing else, of {len(SUSPECTS) - 1} exhibits of the museum and a sound "
        "model; named: nearer to the mean losses of that fault, from nine other seeds, than to those of any other. It favours the "
        "losses: whoever looks for a fault has not seen its like nine times."
    ),
    change_our_mind="Losses that name half of the other faults; or, for the claim as it stands, losses that do not name the incident's.",
    asks=[OTHERS],
)
def losses_alone():
    """The incident's fault, and all others."""
    named = dict(zip(SUSPECTS, named_by_losses(), strict=True))
    own = float(np.mean(named[INCIDENT]))  # zero weights print the same in every seed: no chance in it
    faults = [row for name, row in named.items() if name not in (HEALTHY, INCIDENT)]
    others = OTHERS(np.mean(faults, axis=0))
    found = f"the losses name the incident's own fault in {own:.0%} of the seeds, and of the {len(faults)} others a share of {others:.2f}"
    another = "the fault is another one than the incident's"
    judged = verdict(
        every([own < 1.0, others.answer]),
        f"{another}: less than half of these are named" if others.answer else None,
        another if others.answer is None else None,
    )
    return found, judged, [others, exact("the incident's own fault named by the losses", own, "share of seeds")]
