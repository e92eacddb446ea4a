"""Cold cases: public threads about trainings that stood still, retold, and rebuilt small on parts of this library.

Each is examined with the instruments of the case files, and closed, or left open where nobody wrote what it was. A number in a
thread is ln V of its own vocabulary; a rebuild shows ln V of ours. Threads were read in stored copies, some of them in part.
"""

from dataclasses import dataclass, field, replace

from cllm_lib.casebook.cold_rebuilds import (
    OURS,
    Rebuild,
    empty_frozen_output,
    every_layer_zero,
    last_layer_zero,
    severed_softmax,
    shrunk_logits,
    warm_up_by_epoch,
)
from cllm_lib.casebook.faults.initial_weights import zero_initialisation
from cllm_lib.casebook.settings import Settings
from cllm_lib.checks import one_of
from cllm_lib.instruments import kit


@dataclass(frozen=True)
class ColdCase:
    """A public thread, retold, and how it was rebuilt.

    Attributes
    ----------
    name : str
        A short one.
    source : str
        The thread: owner/repository#number, or an address.
    told : str
        What was reported, with its numbers.
    what_people_tried : str
    closed : bool
        Whether it is known what held the training, or that nothing did.
    ending : str
        What was found, or that nobody wrote it.
    rebuilt : str
        What the rebuild shares with the thread, and what not.
    unknown : str
        What we do not know.
    others : tuple of str
        Further threads that the ending rests on.
    telling, innocent : tuple of str
        Instruments that tell it in the rebuild, and some that say nothing and thereby acquit a part.
    settings : Settings
        Of the rebuild.
    suspects : dict of str to (str, callable)
        By letter, what stands in the place of the sound part, in words and as a plant; one in a closed case, none in an acquittal.
    repair : callable, optional
        A plant, where the repaired training is another one than the plain sound one.
    """

    name: str
    source: str
    told: str
    what_people_tried: str
    closed: bool
    ending: str
    rebuilt: str
    unknown: str
    others: tuple = ()
    telling: tuple = ()
    innocent: tuple = ()
    settings: Settings = field(default=OURS, repr=False)
    suspects: dict = field(default_factory=dict, repr=False, compare=False)
    repair: object = field(default=None, repr=False)


def _joined(text):
    """One line, so that a notebook may break it where it likes."""
    return " ".join(text.split())


_CASES = [
    ColdCase(
        name="10.8259",
        source="Lightning-AI/litgpt#689",
        told=_joined("""
            A small language model is pretrained from scratch on one device, with the repository's own script, and does not learn.
            Its vocabulary of 50,254 is padded to 50,304 outputs. Of the log we could read batches 173 to 195, up to step 98: the
            loss is 10.8259 at each. That is ln 50,304, to a ten-thousandth: an even guess over all outputs, the padding included."""),
        what_people_tried=_joined("""
            A maintainer ran the script with the same model, and there the loss fell. The advice was to take the newest versions,
            and to show what had been changed in the script."""),
        closed=True,
        ending=_joined("""
            On the day of that answer the same maintainer proposed a change to this script and another one, since merged, by whose
            title it fixes "weight initialization for single-device", and which names this thread. The report was made with one
            device; the maintainer's command had not named a number. On one device, then, weights had not been filled in as they
            should."""),
        rebuilt=_joined("""
            Shared: a transformer whose weights were never filled in, with Adam. Not shared: size, mixed precision, padding; and we
            left every weight at 0, which is the plainest way. Our number is ln 256."""),
        unknown="Which weights stayed empty there, and what stood in them: we read the change's title, not its lines.",
        others=("Lightning-AI/litgpt#759",),
        telling=("weights", "loss at the start", "gradients"),
        innocent=("rate log", "print a batch", "recompute the loss"),
        suspects={"A": ("every weight is 0", zero_initialisation)},
    ),
    ColdCase(
        name="rate 0.0",
        source="Lightning-AI/litgpt#2151",
        told=_joined("""
            A script made after the repository's own example trains a model of 135 million weights on children's stories. In the
            lines that we could read the loss is 10.90 at every step; an epoch has 1,793,507. The asker had made the script print
            more at each step: the learning rate, and mean, spread and extremes of the output's matrix. The rate is [0.0] each time;
            the mean is -0.000124 and the spread 0.024048 each time."""),
        what_people_tried=_joined("""
            The asker printed rate and weights, which is what an examiner would have asked for. Answers, if there were any, are not
            in the copy that we could read; the thread is closed, and labelled a question."""),
        closed=True,
        ending=_joined("""
            The log tells what held it there: the rate is 0, so no weight moves. And the example tells how that can be: its warm-up
            is step / 10, counted from 0, and is handed over without saying that it counts steps. Lightning then counts epochs (see
            ace-step/ACE-Step#198): for the whole first epoch the factor is 0 / 10."""),
        rebuilt=_joined("""
            Shared: a warm-up that is asked once an epoch, from 0, in a run that ends within its first epoch. Not shared: model,
            text, size. The weights are sound, so the loss wavers about ln 256 from batch to batch, as a guess does. The sound
            trainer of this library refuses such a schedule; the rebuild has one that does not look."""),
        unknown="Whether the asker's own script had the example's warm-up: that part of it is not in the copy that we could read.",
        others=("ace-step/ACE-Step#198",),
        telling=("rate log", "changed tensors", "update ratios"),
        innocent=("weights", "gradients", "loss at the start", "gradient check at the start"),
        settings=replace(OURS, texts=("prose", "python-docs"), n_words=6_000, schedule="warmup", batch_size=4),
        suspects={"A": ("the warm-up counts epochs", warm_up_by_epoch)},
    ),
    ColdCase(
        name="a branch asleep",
        source="NVlabs/FastGen#42",
        told=_joined("""
            A video model has a branch of several layers, which is to say nothing at first. All its weights and biases are set to 0.
            The asker looked at the gradients after the first backward pass: weights of its layers get exactly 0, and only some
            biases can move: the branch stays as good as silent. Of the loss nothing is said in what we could read."""),
        what_people_tried=_joined("""
            The asker read the code, printed gradients, and proposed what the repository had already under another name: draw the
            lower layers at random, and set the last one alone to 0. In yz93/LAVT-RIS#25 somebody asks the same of a gate of two
            layers, tries both ways in a small script, and sees that the last layer then gets a gradient."""),
        closed=True,
        ending=_joined("""
            A gradient of a product is the other factor. Where both layers are 0, each waits for the other. With the last alone at 0
            the branch is as silent at first, and the last layer gets a gradient at once, the lower ones from the second step on. (A
            gradient check finds nothing: these zeros are true.) In LAVT-RIS it turned out that the zeros had never been used: a
            later line drew all weights at random."""),
        rebuilt=_joined("""
            Shared: two layers that are multiplied, both 0, beside a path that learns. Not shared: video, conditioning. The branch
            is our feed-forward network, whose hidden units are tanh; it alone sleeps, and the loss falls."""),
        unknown="What the makers answered: in our copy the thread is open. How much the sleeping branch cost their model.",
        others=("yz93/LAVT-RIS#25", "yz93/LAVT-RIS#15"),
        telling=("gradients", "weights", "activation statistics"),
        innocent=("loss at the start", "rate log", "gradient check at the start"),
        suspects={"A": ("both layers of the branch are 0", every_layer_zero)},
        repair=last_layer_zero,
    ),
    ColdCase(
        name="starts at 10",
        source="karpathy/nanoGPT#341",
        told=_joined("""
            Somebody trains GPT-2 from scratch on web text, and sees the loss begin at about 10. The curve in the repository's own
            description begins at about 3.6. Is something wrong with the run?"""),
        what_people_tried=_joined("""
            Nothing, and rightly. Another reader, who had never done so, supposed that the 10 belongs to the very first steps, and
            falls fast. The asker looked again, saw it fall, and said thank you."""),
        closed=True,
        ending=_joined("""
            Nothing is wrong: an acquittal. Before the first step a model guesses nearly evenly, GPT-2 has 50,257 tokens, and ln
            50,257 is 10.82. Such a start is the first sign of health; one far from ln V would be a sign of a fault."""),
        rebuilt=_joined("Shared: a sound model from random weights. Not shared: size and text. Ours begins near ln 256."),
        unknown="From where the curve in the description was drawn, so that it begins at 3.6: the thread does not say.",
        innocent=("loss at the start", "repeat", "weights", "gradient check at the start", "overfit one batch"),
    ),
    ColdCase(
        name="no way back",
        source="huggingface/candle#3569",
        told=_joined("""
            A library has two functions for a softmax that return the same numbers. One, made for speed, has no backward pass. Used
            in attention, it lets the backward pass end without an error, and every weight before the softmax gets no gradient at
            all. Another report, on the same and a like function, adds: such weights train as if frozen, no warning is given, and
            the loss still falls, because what is still connected learns."""),
        what_people_tried=_joined("""
            The finder compared both functions in a small program. The cure at hand is the plain function. Several people proposed
            the missing backward pass, with a test that a gradient arrives and is the right one."""),
        closed=True,
        ending=_joined("""
            The cause is known: the fast softmax was registered as an operation without backward pass. A curve cannot show it. What
            shows it is asking each tensor whether it got a gradient, and whether it changed."""),
        rebuilt=_joined("""
            Shared: the softmax of attention hands nothing back, so queries and keys get nothing; values do. Not shared: the
            library, in which gradients are absent; ours are there, and 0."""),
        unknown="Who trained models with it unaware. In our copy the proposals wait to be merged.",
        others=("huggingface/candle#3724", "huggingface/candle#3823"),
        telling=("gradients", "changed tensors", "gradient check after training"),
        innocent=("attention drill", "attention statistics", "loss at the start", "rate log"),
        suspects={"A": ("the softmax of attention hands nothing back", severed_softmax)},
    ),
    ColdCase(
        name="10.3750",
        source="Vision-CAIR/MiniGPT-4#267",
        told=_joined("""
            A language model that is to see is trained in its second stage, and the loss stays at about 10.3750, with any data and
            any weights to begin from. In an earlier thread, #67, a log shows it at every fiftieth step, from 3,950 to 4,400 of
            5,000 at least, with a learning rate of 0.000029. LLaMA's vocabulary, on which such a model is built, has 32,000 tokens;
            ln 32,000 is 10.3735, and in half precision the number nearest to that is 10.3750. So it may well be an even guess, seen
            through a coarse grid: any loss between 10.371 and 10.379 prints the same."""),
        what_people_tried="Other data, and other weights to begin from. Months later somebody else asks how it was solved.",
        closed=False,
        ending=_joined("""
            Open. #267 is closed, and has no answer in the copy that we could read. In #12 others had used weights that are a
            difference, to be added to those of another model, as if they were whole, and got strange answers; nobody says that it
            was so here."""),
        rebuilt=_joined("""
            Three suspects, which print one and the same number in half precision at every step: A, B, C. Not shared: images,
            stages, size, a language model that is frozen. Our number is 5.7031, the nearest to ln 300."""),
        unknown="Which of them it was, or whether it was another: from the curve nobody can tell.",
        others=("Vision-CAIR/MiniGPT-4#67", "Vision-CAIR/MiniGPT-4#12"),
        telling=("weights", "gradients", "changed tensors", "recompute the loss"),
        innocent=("rate log", "print a batch"),
        settings=replace(OURS, vocab_size=300, tie_embeddings=False),
        suspects={
            "A": ("every weight is 0", zero_initialisation),
            "B": ("the output's matrix is 0, and not trained", empty_frozen_output),
            "C": ("the logits are divided by a million before the loss", shrunk_logits),
        },
    ),
]
COLD_CASES = {case.name: case for case in _CASES}


# Opening one


class OpenColdCase(Rebuild):
    """A cold case on the table. :func:`open_cold_case` makes it.

    Attributes
    ----------
    told, source : str
        Of the thread.
    settings : Settings
        Of the rebuild. Print it.
    losses : list of float
        Of the rebuild, every step; of suspect A where there are several.
    instruments : dict of str to int
        The cost of each question.
    suspects : dict of str to Rebuild
        By letter: more than one where the case is open.
    repaired : Rebuild
        The same training with the sound part in its place.
    """

    def __init__(self, case):
        plants = {letter: plant for letter, (_, plant) in case.suspects.items()}
        super().__init__(case.settings, plants.get("A"))
        self._case, self.told, self.source = case, case.told, case.source
        self.instruments = {name: tool.cost for name, tool in kit.ALL.items()}
        self.suspects = {letter: self if letter == "A" else Rebuild(case.settings, plant) for letter, plant in plants.items()}
        self.repaired = Rebuild(case.settings, case.repair)

    def __repr__(self):
        return f"<cold case {self._case.name!r}: {self.source}, {len(self._readings)} asked>"

    def close(self):
        """The ending.

        Returns
        -------
        str
            What was found or not, what the instruments say of the rebuild, and what we do not know.
        """
        case = self._case
        lines = [case.ending, f"tried       {case.what_people_tried}", f"rebuilt     {case.rebuilt}"]
        for letter, rebuild in self.suspects.items():
            lines.append(f"suspect {letter}   {case.suspects[letter][0]}" if len(self.suspects) > 1 else "in the rebuild")
            lines += [f"  {name}: {_said(rebuild.ask(name))}" for name in case.telling]
        lines.append(f"silent      {', '.join(case.innocent)}: {_said_together(self, case.innocent)}")
        lines += [f"not known   {case.unknown}", f"threads     {', '.join((case.source, *case.others))}"]
        return "\n".join(lines)


def _said(reading):
    return "; ".join(reading.words) or "nothing stands out"


def _said_together(opened, names):
    words = [word for rebuild in (opened.suspects or {"": opened}).values() for name in names for word in rebuild.ask(name).words]
    return "; ".join(words) or "nothing stands out"


def open_cold_case(name):
    """Open a cold case.

    Parameters
    ----------
    name : str
        One of :data:`COLD_CASES`.

    Returns
    -------
    OpenColdCase

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return OpenColdCase(one_of(name, COLD_CASES, "cold case"))
