"""Two peers of the doctor for PyTorch, each asked as its README says, and which of their checks are about which cause.

Both are asked as favourably as seems fair. `neural_net_checklist` has one call for language models and one for classifiers, which
stop at the first check that fails; here its checks run one by one, all of them, so that a later one may still name the cause. It
gets the reader's own loss wherever a check takes one, as many examples as it wants, and words as vectors by its own means; checks
of the first loss are left out where the weights have been trained, and overfitting where the loss is no cross-entropy. `torchdiag`
gets everything of its README that finds faults; what it prints under "ISSUES FOUND" or "WARNINGS" is what it reports.
"""

import contextlib
import copy
import functools
import io
import signal
import time
import warnings

CHECKLIST, TORCHDIAG = "neural_net_checklist", "torchdiag"
LIMIT = 60.0  # seconds that a peer may take over one set-up

NAMED_BY_CHECK = {  # check of the checklist: the causes it is about
    "balanced_classification_cross_entropy_loss_at_init": {"saturated"},
    "balanced_classification_cross_entropy_init_calibrated": {"saturated"},
    "forward_batch_independence": {"batch_mixed", "softmax_axis"},
    "backward_batch_independence": {"batch_mixed", "softmax_axis"},
    "forward_causal_property": {"no_causal_mask", "transposed_mask", "softmax_axis"},
    "backward_causal_property": {"no_causal_mask", "transposed_mask", "softmax_axis"},
    "non_zero_gradients": {"detached", "zero_weights", "dead_units", "saturated", "frozen", "underflow"},
    "input_independent_baseline_worse": {"detached", "zero_weights", "dead_units"},
    "overfit_to_batch": set(),  # that something is wrong, not what
}
NAMED_BY_WORDS = {  # what torchdiag prints: the causes it is about
    "neurons dead": {"dead_units", "zero_weights"},
    "gradient is None": {"detached"},
    "None gradients": {"detached"},
    "vanishing": {"saturated", "zero_weights", "dead_units", "underflow", "detached"},
    "exploding": {"rate_too_high"},
    "not finite": {"rate_too_high"},
    "No parameters changed": {"zero_rate", "stale_optimizer", "not_in_optimizer", "frozen"},
    "ALL parameters are frozen": {"frozen"},
    "split across devices": set(),
}


class OutOfTime(BaseException):
    """Not an Exception: torchdiag catches those, and takes them for findings."""


@contextlib.contextmanager
def at_most(seconds):
    """Raise :class:`OutOfTime` when a block takes longer; in the main thread of a process, on systems that have alarms."""

    def ring(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ask(peer, setup, parts, seconds=LIMIT):
    """What a peer says of a set-up.

    Parameters
    ----------
    peer : str
        A key of :data:`PEERS`.
    setup : benchmarks.torch_setups.case.Setup
    parts : dict
        What its `build` returned; it is left as it is.
    seconds : float
        After which the peer is interrupted; what it has said until then counts.

    Returns
    -------
    dict
        said : list of str, the checks that failed or the words reported; named : sorted list of causes that these are about;
        crashed : str, empty if no check raised anything but its own assertion; late : bool, whether it ran out of time; seconds.
    """
    said, crashes, late = [], [], False
    began = time.perf_counter()
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with at_most(seconds):
                for words, crash in PEERS[peer](setup, parts):
                    said += words
                    crashes += [crash] if crash else []
        except OutOfTime:
            late = True
    named = set().union(*(about(peer, words) for words in said))
    return {
        "said": said,
        "named": sorted(named),
        "crashed": "; ".join(crashes),
        "late": late,
        "seconds": round(time.perf_counter() - began, 2),
    }


def about(peer, words):
    """The causes that a finding is about."""
    if peer == CHECKLIST:
        return NAMED_BY_CHECK[words]
    return set().union(*(causes for part, causes in NAMED_BY_WORDS.items() if part in words))


def checklist(setup, parts):
    """The checks of neural_net_checklist, one after the other: ([name] if it failed, what it crashed of)."""
    from neural_net_checklist import torch_diagnostics

    for name, arguments in checks_for(setup, parts):
        try:
            getattr(torch_diagnostics, f"assert_{name}")(**arguments)
        except AssertionError:
            yield [name], ""
        except Exception as error:
            yield [], f"{name}: {type(error).__name__}"


def checks_for(setup, parts):
    """Names of checks and their arguments, in the order of `assert_all_for_...`."""
    import torch

    from benchmarks.torch_setups.case import CLASSES, LANGUAGE

    def factory():
        return copy.deepcopy(parts["module"])

    with torch.no_grad():
        outputs = copy.deepcopy(parts["module"]).eval()(parts["inputs"])
    provider = provider_of(parts)
    if not parts["inputs"].is_floating_point():
        factory, provider = as_vectors(factory, provider)
    whole = factory  # the loss wants all outputs
    if isinstance(outputs, tuple):
        factory = first_output(factory)
    plain = {"supervised_batch_provider": provider}
    chosen = []
    if setup.task in (LANGUAGE, CLASSES) and not setup.trained:
        classes = {"num_classes": outputs.shape[-1]}
        chosen += [
            ("balanced_classification_cross_entropy_loss_at_init", {"model": factory(), "loss_fn": parts["loss"]} | classes),
            ("balanced_classification_cross_entropy_init_calibrated", {"model": factory()} | classes),
        ]
    chosen.append(("forward_batch_independence", {"model_factory": factory}))
    if setup.task == LANGUAGE:
        chosen.append(("forward_causal_property", {"model_factory": factory}))
    chosen += [("non_zero_gradients", {"model": factory()}), ("backward_batch_independence", {"model_factory": factory})]
    if setup.task == LANGUAGE:
        chosen.append(("backward_causal_property", {"model_factory": factory}))
    chosen.append(("input_independent_baseline_worse", {"model_factory": whole, "loss_fn": parts["loss"]}))
    if setup.task in (LANGUAGE, CLASSES):
        threshold = {"threshold": 1e-1} if setup.task == LANGUAGE else {}  # as in its two calls
        chosen.append(("overfit_to_batch", {"model": factory(), "loss_fn": parts["loss"]} | threshold))
    return [(name, arguments | plain) for name, arguments in chosen]


def provider_of(parts):
    """As many examples as it asks for, from all batches there are; the reader's batch if it does not say how many."""
    import torch

    pairs = parts.get("batches") or [(parts["inputs"], parts["targets"])]
    inputs, targets = (torch.cat(column) for column in zip(*pairs, strict=True))

    def provide(count=None):
        if count is None:
            return parts["inputs"], parts["targets"]
        rows = torch.arange(count) % len(inputs)
        return inputs[rows], targets[rows]

    return provide


def first_output(factory):
    """For models that give several, of which the checks look at one."""

    def make():
        module = factory()
        forward = module.forward
        module.forward = lambda inputs: forward(inputs)[0]
        return module

    return make


def as_vectors(factory, provide):
    """Words as rows with a single 1, by the checklist's own replacement of the first embedding: gradients can reach those.

    Both come back as they were where there is no such layer, or where the model then no longer computes, such as one that looks
    for padding by its number.
    """
    import torch
    from neural_net_checklist import torch_diagnostics

    embeddings = [(name, layer) for name, layer in factory().named_modules() if isinstance(layer, torch.nn.Embedding)]
    if not embeddings:
        return factory, provide
    name, embedding = embeddings[0]

    def provide_vectors(count=None):
        inputs, targets = provide(count)
        return torch.nn.functional.one_hot(inputs, embedding.num_embeddings).to(embedding.weight.dtype), targets

    replaced = torch_diagnostics.replace_input_embedding_layer(factory, name)
    try:
        replaced()(provide_vectors()[0])
    except Exception:
        return factory, provide
    return replaced, provide_vectors


def torchdiag(setup, parts):
    """The calls of torchdiag's README that find faults: (what it printed as found, what it crashed of)."""
    import torch
    import torchdiag as peer

    module, optimizer = copy.deepcopy((parts["module"], parts.get("optimizer")))
    optimizer = optimizer or torch.optim.Adam(module.parameters())
    inputs, targets, loss = parts["inputs"], parts["targets"], parts["loss"]
    everything = torch.cat([x for x, _ in parts["batches"]]) if "batches" in parts else inputs  # "larger batch = more reliable"

    def gradients():
        module.zero_grad()
        loss(module(inputs), targets).backward()
        peer.check_gradients(module)

    calls = {
        "summary": functools.partial(peer.summary, module),
        "check_dead_neurons": functools.partial(peer.check_dead_neurons, module, everything),
        "verify_step": functools.partial(peer.verify_step, module, optimizer, loss, inputs, targets),
        "check_gradients": gradients,
    }
    for name, call in calls.items():
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                call()
            crash = ""
        except Exception as error:
            crash = f"{name}: {type(error).__name__}"
        found = findings(printed.getvalue())
        said = [words for words in found if "failed" not in words]
        yield said, crash or (f"{name}: a stage failed" if said != found else "")


def findings(printed):
    """The lines under "ISSUES FOUND" or "WARNINGS". A stage of `verify_step` that raised something is "... failed: ..."."""
    found, inside = [], False
    for line in (line.strip() for line in printed.splitlines()):
        inside = "ISSUES FOUND" in line or "WARNINGS" in line or (inside and line.startswith("•"))
        if inside and line.startswith("•"):
            found.append(line.removeprefix("•").strip())
        elif "FAILED" in line:  # it then stops, before it prints what it found
            found.append(f"{line.split(':')[0].lstrip('✗ ')} failed")
    return found


PEERS = {CHECKLIST: checklist, TORCHDIAG: torchdiag}
