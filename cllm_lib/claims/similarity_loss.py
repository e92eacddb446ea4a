"""The simplified loss: embeddings pulled by their similarity while the cross-entropy is printed."""

from cllm_lib import defects
from cllm_lib.claims.judging import measured, verdict
from cllm_lib.claims.questions import below, described
from cllm_lib.claims.registry import experiment, values
from cllm_lib.claims.settings import SEEDS, change_of, trained
from cllm_lib.model.transformer import CLLM
from cllm_lib.training.optimizers import Adam

OTHER_LOSSES = {
    "as coded": defects.GradientOfAnotherLoss,
    "towards the target": defects.TowardTheTarget,
    "cross-entropy": CLLM,
}


@experiment(variants=OTHER_LOSSES, seeds=SEEDS)
def similarity_gradient(variant, seed):
    """Embeddings alone, by Adam, along three gradients: loss of the text before and after ten epochs.

    Returns
    -------
    dict of str to float
        "before", "after" in nats; "nearer", by which factor the mean squared distance of a word and the next one changed.
    """
    return trained(OTHER_LOSSES[variant], seed, lambda model: defects.OnlyEmbeddings(model, Adam(1e-3)), None)


ENOUGH = {
    name: below(f"change of cross-entropy, {name}, less half of that along its own gradient", 0.0, 0.05, "nats")
    for name in OTHER_LOSSES
    if name != "cross-entropy"
}


@measured(
    "18",
    "Simplified Loss: Using embedding similarity allows training to work immediately",
    "004",
    section="Design Decisions",
    experiment="Embeddings alone, by Adam, ten epochs: along the gradient as coded, with its sign turned, and along the cross-entropy's.",
    change_our_mind="A cross-entropy that falls along the gradient of similarity, at least half as far as along its own.",
    asks=ENOUGH.values(),
)
def similarity_as_loss():
    """The loss that was printed, and the distance that was pulled at."""
    changes = {name: change_of("similarity_gradient", name) for name in OTHER_LOSSES}
    told = coded, turned, own = [described(f"change of cross-entropy, {name}", change, "nats") for name, change in changes.items()]
    asked = [ENOUGH[name](changes[name] - changes["cross-entropy"] / 2) for name in ENOUGH]
    apart = values("similarity_gradient", "as coded", "nearer").mean()
    nearer = values("similarity_gradient", "towards the target", "nearer").mean()
    found = (
        f"cross-entropy changes by {coded:+.2f} nats as coded, by {turned:+.3f} with the sign turned, by "
        f"{own:+.2f} along its own gradient; the squared distance of a word to the next becomes {apart:.0f} times as large as "
        f"coded, {nearer:.2f} times turned"
    )
    as_coded, with_sign_turned = (one.answer for one in asked)
    return found, verdict(as_coded, "the sign is turned" if with_sign_turned else None), [*asked, *told]


TRAINS = {name: below(f"change of cross-entropy in ten epochs, {name}", 0.0, 0.05, "nats") for name in ("as coded", "cross-entropy")}


@measured(
    "18",
    "The model can now actually train",
    "004",
    section="Major Achievement: Training Infrastructure Complete",
    experiment="Embeddings alone, by Adam, ten epochs: along the gradient as coded, and along the cross-entropy's own.",
    change_our_mind="A cross-entropy that falls along the gradient as coded.",
    asks=TRAINS.values(),
    about="its embeddings, by the gradient of similarity",
)
def can_now_train():
    """To train is to lower the loss that a language model is judged by."""
    found = [asked(change_of("similarity_gradient", name)) for name, asked in TRAINS.items()]
    coded, own = found
    told = f"the cross-entropy changes by {coded:+.2f} nats in ten epochs as coded, by {own:+.2f} along its own gradient"
    only_if = "embeddings follow the gradient of the cross-entropy" if own.answer else None
    return told, verdict(coded.answer, only_if), found
