"""The tests and diagnostics that the documents plan: what each would have said of the program as it was."""

from cllm_lib import defects
from cllm_lib.claims.backward import CONFIG, WRONG, batch, untouched, wrong_tensors
from cllm_lib.claims.judging import exact, measured, verdict
from cllm_lib.claims.registry import values
from cllm_lib.claims.rules import GUILTY, RULES
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.config import CLLMConfig
from cllm_lib.model.transformer import CLLM
from cllm_lib.training.optimizers import SGD

PATIENT, SOUND = "the program with zero weights", "a sound model"
MODELS = {PATIENT: lambda: defects.incident(CONFIG), SOUND: lambda: CLLM(CONFIG)}
IS_A_TEST = "a test: does it tell the program with its zero weights from a sound model?"


def deaf(model):
    """Names of the tensors that can be nudged, one entry after the other, without any change of the loss.

    Biases of keys are left out: they move all scores of a query alike, which no softmax hears.
    """
    before, names = model.loss(*batch()), []
    for name, array in _that_matter(model):
        flat, heard = array.reshape(-1), False
        for i in range(0, len(flat), max(1, len(flat) // 16)):
            kept = flat[i]
            flat[i] = kept + 0.1
            heard = heard or abs(model.loss(*batch()) - before) > 1e-12
            flat[i] = kept
        names += [] if heard else [name]
    return names


def _that_matter(model):
    return [(name, array) for name, array in model.parameters.items() if not name.endswith("key_bias")]


@measured(
    "18",
    "Manually perturb weights ... Verify loss changes",
    "001",
    section="Test 3: Loss Sensitivity",
    experiment="Sixteen entries of each tensor moved by 0.1, one at a time: of the program with zero weights, and of a sound model.",
    change_our_mind="A tensor of the program that the loss hears, or one of the sound model that it does not.",
    about=IS_A_TEST,
)
def loss_sensitivity():
    """The test would have found it: with all weights at zero no single one matters."""
    deaf_to = {name: (len(deaf(model())), len(_that_matter(model()))) for name, model in MODELS.items()}
    found = "; ".join(f"{name}: {count - silent} of {count} tensors change the loss" for name, (silent, count) in deaf_to.items())
    (silent, count), (silent_sound, _) = deaf_to.values()
    effects = [exact("tensors that change the loss, zero weights", count - silent, "tensors")]
    return found, verdict(silent == count and silent_sound == 0), effects


@measured(
    "18",
    "Print weight before/after optimizer step ... Verify weights actually change",
    "001",
    section="Test 2: Weight Updates",
    experiment="Every tensor before and after one step: of the program with zero weights, and of a sound model.",
    change_our_mind="A weight of the program that a step changes, or a tensor of the sound model that it does not.",
    about=IS_A_TEST,
)
def weight_updates():
    """The test would have found it too."""
    still = {name: (len(untouched(model())), len(model().parameters)) for name, model in MODELS.items()}
    found = "; ".join(f"{name}: {count - same} of {count} tensors change" for name, (same, count) in still.items())
    (same, count), (same_sound, _) = still.values()
    return found, verdict(same == count and same_sound == 0), [exact("tensors that change, zero weights", count - same, "tensors")]


def change_in_ten_steps(model):
    """Of the loss of one batch, ten times trained on by plain gradient descent, as in the program."""
    before, descent = model.loss(*batch()), SGD(1e-3)
    for _ in range(10):
        model.loss_and_gradients(*batch())
        descent.step(model.flat_parameters, model.flat_gradients)
    return model.loss(*batch()) - before


@measured(
    "18",
    "Implement full attention ... Verify loss decreases",
    "001",
    section="Test 4: Proper Attention",
    experiment="The program with zero weights and real attention, its backward pass true: ten steps; and the same with random weights.",
    change_our_mind="A loss that falls with zero weights.",
    about="a test of the fix",
)
def full_attention():
    """The fix as it was planned, with the weights as they were."""
    changes = {init: change_in_ten_steps(CLLM(CONFIG, init=init, attention=CausalSelfAttention())) for init in ("zeros", "scaled_normal")}
    zero, random = changes.values()
    found = f"ten steps change the loss by {zero:+.4f} nats with zero weights, by {random:+.4f} with random ones"
    judged = verdict(zero < 0.0, "the weights are not zero" if random < 0.0 else None)
    return found, judged, [exact("change of loss, zero weights", zero, "nats")]


@measured(
    "18",
    "Understand why loss isn't decreasing by adding diagnostic output",
    "002",
    section="Priority 1: Add Diagnostics",
    experiment="What the document prints of the program with zero weights, and its own rule for it, in ten seeds.",
    change_our_mind="A seed in which the rule for weights is silent.",
    about="the goal of the printout",
)
def understanding_by_printing():
    """Of the incident alone: other faults are the row of the four rules."""
    rule, part = next(iter(RULES.items()))
    fired = values("rules", "silent zero initialisation", rule)
    found = f"the rule “{rule}” fires in {fired.sum():.0f} of {len(fired)} seeds, and names the {part}, where the fault was"
    right = bool(fired.all()) and GUILTY["silent zero initialisation"] == part
    return found, verdict(right), [exact("seeds in which the rule names the faulty part", fired.sum(), f"of {len(fired)}")]


FAULTY_BACKWARD = {  # exhibits whose backward pass is not the gradient of their loss
    name: defects.ALL[name] for name, part in GUILTY.items() if part == "backward pass"
}


CHECKED = CLLMConfig(20, d_model=8, n_layers=1, n_heads=2, d_ff=8, seq_len=6)  # a check looks twice at what is wrong: it takes long


def exposed(zero=False):
    """Names of the exhibits with a faulty backward pass in which a gradient check finds a wrong tensor."""
    names = []
    for name, defect in FAULTY_BACKWARD.items():
        model = defect.patient(CHECKED)
        if zero:
            model.flat_parameters[...] = 0.0
        names += [name] if wrong_tensors(model, coordinates=2) else []
    return names


@measured(
    "18",
    "Gradient checking ... Numerical gradients ... Compare with analytical ... Verify correctness",
    "004",
    section="Phase 3: Testing & Validation",
    experiment=(
        f"A gradient check of the {len(FAULTY_BACKWARD)} exhibits with a faulty backward pass and of a sound model, weights random; and "
        "with every weight zero, as in the program."
    ),
    change_our_mind="A faulty backward pass that the check finds with every weight zero.",
    about="a test: does it find a wrong backward pass?",
)
def gradient_checking():
    """At zero every gradient is zero, right or wrong."""
    found_at = {"random": exposed(), "zero": exposed(zero=True)}
    accused = wrong_tensors(CLLM(CHECKED), coordinates=2)
    count = len(FAULTY_BACKWARD)
    found = (
        "; ".join(f"with {name} weights it finds {len(names)} of {count}" for name, names in found_at.items())
        + f"; of a sound model it accuses {len(accused)} tensors (a relative error above {WRONG:g} counts)"
    )
    sharp = len(found_at["random"]) == count and not accused
    judged = verdict(sharp and len(found_at["zero"]) == count, "the weights are not zero" if sharp else None)
    return found, judged, [exact("faulty backward passes found, zero weights", len(found_at["zero"]), f"of {count}")]
