"""What was called complete or ready, and what no measurement here could decide."""

import numpy as np

from cllm_lib.claims.judging import HOLDS, exact, measured, untestable
from cllm_lib.claims.settings import DOCUMENTED
from cllm_lib.defects.whole_program import ProgramLayer
from cllm_lib.model.config import CLLMConfig

COMPONENTS = {  # the table of document 004
    "Data Structures": 100,
    "Forward Pass": 100,
    "Backward Pass": 40,
    "Training Loop": 90,
    "Parameter Updates": 30,
    "Lattice Integration": 50,
}
TOTAL = 75


@measured(
    "18",
    "Overall Completion: ~75%",
    "004",
    section="Progress Metrics",
    experiment="The mean of the six percentages of the same table.",
    change_our_mind="Weights for the six, written down beforehand, that make it 75.",
)
def components_complete():
    """The mean, and what it would take."""
    mean = float(np.mean(list(COMPONENTS.values())))
    found = (
        f"the six percentages have the mean {mean:.0f}; with each from {min(COMPONENTS.values())} to {max(COMPONENTS.values())}, "
        "some choice of weights gives 75 as well"
    )
    judged = HOLDS if round(mean) == TOTAL else untestable("it names no weights: some choice of them gives it, the plain mean does not")
    return found, judged, [exact("75 minus the mean", TOTAL - mean, "percentage points")]


@measured(
    "18",
    "Production-ready for embedding training",
    "004",
    section="Conclusion",
    experiment="None: no measurement is named that would decide it.",
    change_our_mind="A list made before the run: which loss on which text, in how many seeds, after which failures a run goes on.",
)
def production_ready():
    """No bar is named that a run could clear or miss."""
    return (
        "the word names no text, no loss, no number of runs and no failure that must be survived; that only embeddings are updated "
        "is testable, and is tested where the loss of such a run is",
        untestable("it says nothing a run could miss; name text, loss, seeds and failures first"),
        [],
    )


@measured(
    "18",
    "keeps becoming unresponsive for a minute before continuing ... Likely cause: Training thread is blocking or consuming too much CPU",
    "001",
    about="the application's window",
    section="UI Unresponsiveness",
    experiment="None: the application is not part of this workbook.",
    change_our_mind="A trace of the application in which its window waits for the training thread.",
)
def unresponsive():
    """The application cannot be run here."""
    return (
        "the application was not run, and no trace of it is in the documents",
        untestable("it takes the application and a trace of it"),
        [],
    )


DONE, LISTED = 1, 4  # of the status list of document 000: marked as done, of all


@measured(
    "18",
    "Overall: 40% complete",
    "000",
    section="Status",
    experiment="The marks of the list below it, counted.",
    change_our_mind="Weights for the four, written down beforehand, that make it 40.",
)
def forty_percent():
    """One of four is marked as done; the others are under way, and by how much is not said."""
    share = 100 * DONE / LISTED
    found = f"of the {LISTED} lines below it {DONE} is marked as done: {share:.0f} %, and more if what is under way counts in part"
    judged = HOLDS if round(share) == 40 else untestable("it does not say what the lines weigh, nor how far those under way are")
    return found, judged, [exact("40 minus the share marked as done", 40 - share, "percentage points")]


def shares_trained():
    """How much of the documented model the embedding is: of its parts, and of its numbers."""
    model = dict.fromkeys(("embedding", "attention", "feed-forward", "norms"), 0)
    sizes = {name: int(np.prod(shape)) for name, shape in program_shapes().items()}
    for name, size in sizes.items():
        part = next(word for word in ("embedding", "attention", "feed_forward_norm", "feed_forward") if word in name)
        model[{"feed_forward_norm": "norms", "feed_forward": "feed-forward"}.get(part, part)] += size
    return {"parts": 1 / len(model), "numbers": model["embedding"] / sum(model.values())}


def program_shapes():
    """Names and shapes of all tensors of the program at its documented size, without making them."""
    layer = ProgramLayer(set()).parameter_shapes(CLLMConfig(**DOCUMENTED))
    inside = {
        f"layers.{i}.{part}.{name}": shape for i in range(DOCUMENTED["n_layers"]) for part in layer for name, shape in layer[part].items()
    }
    return {"embedding": (DOCUMENTED["vocab_size"], DOCUMENTED["d_model"])} | inside


def _percentage(claimed):
    shares = shares_trained()
    told = ", ".join(f"{100 * share:.0f} % of its {what}" for what, share in shares.items())
    near = [what for what, share in shares.items() if abs(100 * share - claimed) < 2.5]
    judged = HOLDS if near else untestable("it does not say of what: two ways to count do not give it, another may")
    effects = [exact(f"embedding's share of the {what}", 100 * share, "%") for what, share in shares.items()]
    return f"only the embedding is done, by the same document: of the documented model {told}", judged, effects


COUNTED = "The share of the embedding, by parts (embedding, attention, feed-forward, norms) and by numbers, at the documented size."


@measured(
    "18",
    "Backward Pass ... Partial ... 40%",
    "004",
    section="Progress Metrics",
    experiment=COUNTED,
    change_our_mind="What the 40 % were counted in.",
)
def backward_percentage():
    """By parts, and by numbers."""
    return _percentage(COMPONENTS["Backward Pass"])


@measured(
    "18",
    "Parameter Updates ... Partial ... 30%",
    "004",
    section="Progress Metrics",
    experiment=COUNTED,
    change_our_mind="What the 30 % were counted in.",
)
def updates_percentage():
    """By parts, and by numbers."""
    return _percentage(COMPONENTS["Parameter Updates"])


@measured(
    "18",
    "Data Structures ... 100% ... Training Loop ... 90% ... Lattice Integration ... 50%",
    "004",
    section="Progress Metrics",
    experiment="None: it is not said what was counted.",
    change_our_mind="A list of what belongs to each, made before it was ticked off.",
)
def other_percentages():
    """No unit is named."""
    return "no list is given of what belongs to the three", untestable("it does not say of what"), []


@measured(
    "18",
    "Crystalline algorithms are NOT being used in training",
    "001",
    section="Crystalline Lattice Considerations",
    experiment="None: the program's source is not part of this workbook.",
    change_our_mind="A line of the program's training that calls one of them.",
)
def crystalline_not_used():
    """A statement on the program's source."""
    return "the program's source is not here to be searched", untestable("it takes the program's source"), []


@measured(
    "18",
    "Build Status: ... Clean (0 errors, 1 warning)",
    "004",
    section="Conclusion",
    experiment="None: the program is not built here.",
    change_our_mind="The compiler's output.",
)
def clean_build():
    """A statement on a compiler's run."""
    return "the program was not built, and the compiler's output is not in the documents", untestable("it takes the build"), []


@measured(
    "18",
    "Time Estimate: 2-3 hours remaining to complete all fixes and testing",
    "000",
    section="Status",
    experiment="None: the document bears no time, and what counts as all fixes is not said.",
    change_our_mind="The time at which it was written, and the list of fixes it meant.",
)
def hours_remaining():
    """Its own next steps come to an hour and a half."""
    return (
        "its own next steps, 30 minutes and an hour, come to less; when it was written is not known",
        untestable("it bears no time, and does not say which fixes are all"),
        [],
    )
