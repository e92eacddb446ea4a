"""What was called complete or ready, and what no measurement here could decide."""

import numpy as np

from cllm_lib.claims.judging import HOLDS, exact, measured, untestable

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
    "10",
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
    "10",
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
    "10",
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
