"""The catalogue of the case files as a whole: what every defect has to be, to leave alone, and to be told by."""

import copy
import re
import sys
import textwrap
from dataclasses import asdict, replace

import numpy as np
import pytest
from casebook.faults.twins import SMALL, loss_of, run, settings_for, slope_errors, small, trainer_of, twins
from oracles import random_batch

from cllm_lib import casebook, defects
from cllm_lib.casebook import belief, cases, faults
from cllm_lib.casebook.building import assembled
from cllm_lib.casebook.faults import catalogue
from cllm_lib.casebook.faults.catalogue import HEADINGS, fault
from cllm_lib.instruments import kit

NAMES = list(faults.ALL)
pytestmark = pytest.mark.filterwarnings("ignore:the warm-up takes")  # runs here are short
ELSEWHERE = {  # exhibits that no training of the case files can have
    "layer of the half repair": "it is made for weights of another shape",
    "another layer at inference": "it stands in use, not in training",
    "lattice-aware attention": "it is no slip, but a design",
    "lattice loss": "it is no slip, but a design",
}


def a_new_one(parts, settings):
    """Nothing happens.

    Symptom
        None.
    Exposed by
        Nothing.
    Source
        A test.
    Repair
        None is needed.
    """
    return parts


@pytest.fixture
def own_catalogue(monkeypatch):
    """A catalogue to write into, and beliefs that forget it: the global one stays as it was."""
    monkeypatch.setattr(catalogue, "_FAULTS", dict(catalogue._FAULTS))
    monkeypatch.delitem(vars(catalogue), "ALL")
    caches = (belief.experience, belief.told_by)
    for cache in caches:
        cache.cache_clear()
    yield monkeypatch
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_docstring_without_one_of_its_headings_is_refused(heading, own_catalogue):
    def lacking(parts, settings):
        return parts

    lacking.__doc__ = a_new_one.__doc__.replace(heading, "Something else")
    with pytest.raises(ValueError, match=f"docstring of lacking has no heading '{heading}', with indented text below it"):
        fault("a new one", "weights")(lacking)
    assert "a new one" not in catalogue._FAULTS


def test_a_function_without_a_docstring_is_refused(own_catalogue):
    with pytest.raises(ValueError, match="has no heading 'Symptom'"):
        fault("a new one", "weights")(lambda parts, settings: parts)


def test_two_defects_of_one_name_are_refused(own_catalogue):
    with pytest.raises(ValueError, match="a_new_one and rate_zero are both called 'rate zero': give each a name of its own"):
        fault("rate zero", "weights")(a_new_one)
    assert catalogue._FAULTS["rate zero"].plant.__name__ == "rate_zero"


def test_a_defect_that_no_instrument_tells_is_refused(own_catalogue):
    with pytest.raises(ValueError, match="a_new_one names no instrument that tells it: name one at least, the surest first"):
        fault("a new one")(a_new_one)


def test_what_is_written_is_what_the_catalogue_says(own_catalogue):
    assert fault("a new one", "weights", "repeat", applies=lambda settings: settings.n_layers > 1)(a_new_one) is a_new_one
    found = faults.ALL["a new one"]
    assert (found.what, found.symptom, found.exposure, found.source, found.repair) == (
        "Nothing happens.",
        "None.",
        "Nothing.",
        "A test.",
        "None is needed.",
    )
    assert found.told_by == ("weights", "repeat")
    assert found.applies(SMALL)
    fault("a new one", "weights")(a_new_one)  # the same function once more, as when a module is loaded anew
    assert list(faults.ALL) == sorted(faults.ALL)


def test_the_catalogue_has_no_other_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'SOME'"):
        catalogue.SOME


def test_there_are_forty_defects_at_least_each_with_a_plant_of_its_own():
    assert len(NAMES) >= 40
    assert len({entry.plant for entry in faults.ALL.values()}) == len(NAMES)
    assert sorted(NAMES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_plain_phrase_and_every_text_a_sentence(name):
    entry = faults.ALL[name]
    assert entry.name == name
    assert re.fullmatch(r"[A-Za-z][A-Za-z'()-]*( [A-Za-z][A-Za-z'()-]*)*", name)
    assert name[0].islower() or name.split()[0] in ("Adam", "LayerNorm")
    assert name != faults.HEALTHY
    for text in (entry.what, entry.symptom, entry.exposure, entry.source, entry.repair):
        assert text.endswith((".", '."'))
    assert set(entry.told_by) <= set(kit.ALL)
    assert len(set(entry.told_by)) == len(entry.told_by) >= 1


def test_the_museum_s_exhibits_are_among_them():
    cited = {title for entry in faults.ALL.values() for title in re.findall(r'The museum, ["`]([^"`]+)["`]', entry.source)}
    assert cited - set(defects.ALL) == {"LastSequenceWins"}  # a class of the museum without a place in its catalogue
    assert set(defects.ALL) - cited == set(ELSEWHERE)
    for title in cited:
        assert hasattr(defects, title) or title in defects.ALL


@pytest.fixture(scope="module")
def healthy():
    """The losses of healthy trainings, by settings, before any defect was planted."""
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_planting_leaves_settings_and_later_trainings_alone(name, healthy):
    settings = small(name)
    before = healthy.setdefault(settings, run(assembled(settings), 12))
    told, stated = asdict(settings), settings.make_optimizer().settings()
    run(trainer_of(name, settings), 3)
    assert asdict(settings) == told
    assert settings.make_optimizer().settings() == stated
    assert run(assembled(settings), 12) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_same_defect_twice_is_the_same_training(name):
    """Planted again it begins anew: no hook, optimizer or generator is shared between two patients."""
    settings = small(name)
    first = trainer_of(name, settings)
    losses = run(first, 9)
    second = trainer_of(name, settings)
    np.testing.assert_array_equal(run(second, 9), losses)
    np.testing.assert_array_equal(second.model.flat_parameters, first.model.flat_parameters)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_a_sick_trainer_goes_on_bit_for_bit(name):
    trainer = trainer_of(name, small(name))
    run(trainer, 8)
    twin = copy.deepcopy(trainer)
    ahead = run(trainer, 9)  # past the first epoch
    assert trainer.steps > trainer.batches_per_epoch
    np.testing.assert_array_equal(run(twin, 9), ahead)
    np.testing.assert_array_equal(twin.model.flat_parameters, trainer.model.flat_parameters)
    np.testing.assert_array_equal(list(twin.history.validation_losses.values()), list(trainer.history.validation_losses.values()))


SHAPES = [(1, 1), (3, 5), (2, 16)]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_defect_of_the_model_is_wrong_forward_or_backward_and_never_both(name, tied):
    """What computes another loss has the true gradient of that loss: so each fault stands alone."""
    settings = small(name, tie_embeddings=tied) if faults.ALL[name].applies(small(name, tie_embeddings=tied)) else small(name)
    for shape in SHAPES:
        ill, sound = twins(name, settings)
        batch = random_batch(settings.vocab_size, *shape)
        if loss_of(ill, batch) == loss_of(sound, batch) and (ill.logits(batch[0]) == sound.logits(batch[0])).all():
            continue
        assert max(slope_errors(ill, batch)) < 1e-5


@pytest.mark.elsewhere
@pytest.mark.parametrize("name", NAMES)
def test_a_patient_is_told(name):
    assert cases.is_told(name, casebook.patient_of(name, np.random.default_rng(0)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nine_patients_of_ten_are_told(name):
    told = [cases.is_told(name, casebook.patient_of(name, np.random.default_rng(seed))) for seed in range(200, 210)]
    assert sum(told) >= 9


WITHOUT_EFFECT = {
    "schedule left out of the checkpoint": {"schedule": "constant"},
    "optimizer left out of the checkpoint": {"optimizer": "sgd"},
    "epsilon too large": {"optimizer": "momentum", "learning_rate": 0.1},
    "moments reset each epoch": {"optimizer": "sgd"},
    "decay through the moments": {"optimizer": "adam"},
    "positions not added": {"positions": "none"},
}
ANOTHER = {  # where they are not planted they would be no fault of their own
    "detached below a layer": ({"n_layers": 1}, "lost embedding gradient"),
    "frozen layer": ({"n_layers": 1, "positions": "none"}, "only embeddings updated"),
}


def resumed(trainer):
    """The losses of steps, a going back, and steps again."""
    losses = run(trainer, 6)
    trainer.go_back(trainer.snapshot())
    return losses + run(trainer, 6)


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_where_a_defect_is_said_to_have_no_effect_it_has_none_and_elsewhere_it_has(name):
    entry = faults.ALL[name]
    without = replace(SMALL, **WITHOUT_EFFECT[name])
    assert not entry.applies(without)
    if name == "decay through the moments":  # it takes the decay that Adam has none of
        assert without.make_optimizer().weight_decay == 0.0
    assert resumed(trainer_of(name, without)) == resumed(assembled(without))
    assert entry.applies(SMALL)
    long = 16  # past the first epoch
    ill, sound = trainer_of(name, SMALL), assembled(SMALL)
    for trainer in (ill, sound):
        run(trainer, long)
        trainer.go_back(trainer.snapshot())
        run(trainer, 4)
    assert (ill.model.flat_parameters != sound.model.flat_parameters).any()


@pytest.mark.parametrize("name", ANOTHER)
def test_where_a_defect_would_be_another_one_it_is_not_planted(name):
    changes, other = ANOTHER[name]
    settings = replace(SMALL, **changes)
    assert not faults.ALL[name].applies(settings)
    assert faults.ALL[other].applies(settings)
    if other == "only embeddings updated":
        np.testing.assert_allclose(run(trainer_of(name, settings), 8), run(trainer_of(other, settings), 8), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_where_it_applies_a_defect_does_something(name):
    """Steps, a going back, steps: something differs from the sound twin, bit for bit, somewhere along the way."""
    settings = small(name)
    seen = []
    for trainer in (trainer_of(name, settings), assembled(settings)):
        losses = run(trainer, 12)
        trainer.go_back(trainer.snapshot())
        losses += run(trainer, 2)
        with np.errstate(all="ignore"):
            trainer.best = None
            trainer.evaluate()
            run(trainer, 1)
            trainer.restore_best()
        seen.append((losses, list(trainer.history.validation_losses.values()), trainer.model.flat_parameters.tobytes()))
    assert seen[0] != seen[1]


NEW = '''
"""A defect that a reader adds."""

from dataclasses import replace

from cllm_lib.casebook.faults.catalogue import fault


@fault("rate negative", "rate log", "shadow optimizer")
def rate_negative(parts, settings):
    """Every second step goes up.

    Symptom
        The loss stands still.
    Exposed by
        The rate that each step had.
    Source
        A test.
    Repair
        The rate that was meant.
    """
    return replace(parts, schedule=lambda step: 20.0 if step % 2 else 0.01)
'''


@pytest.fixture
def a_reader_s_module(own_catalogue, tmp_path):
    """A new module in the package of the defects, for the time of a test."""
    module = f"{faults.__name__}.a_reader_s_own"
    (tmp_path / "a_reader_s_own.py").write_text(textwrap.dedent(NEW), encoding="utf-8")
    own_catalogue.setattr(faults, "__path__", [*faults.__path__, str(tmp_path)])
    yield module
    sys.modules.pop(module, None)
    if hasattr(faults, "a_reader_s_own"):
        delattr(faults, "a_reader_s_own")


def test_a_new_case_in_one_file_is_in_the_catalogue_admitted_and_told(a_reader_s_module, monkeypatch):
    known = set(NAMES)
    assert set(faults.ALL) - known == {"rate negative"}
    assert casebook.DEFECTS["rate negative"] == "Every second step goes up."
    with np.errstate(all="ignore"):
        assert cases.is_told("rate negative", casebook.patient_of("rate negative", np.random.default_rng(1)))
        monkeypatch.setattr(cases, "difficulties", lambda: {"rate negative": 1})  # so that no other is drawn
        file = next(file for seed in range(9) if (file := cases._admitted(seed, 1)).defect == "rate negative")
    case = cases._opened(file)
    assert case.ask("rate log").words
    verdict = case.accuse("rate negative")
    assert verdict.right
    assert verdict.what == "Every second step goes up."
    assert verdict.best_question in ("rate log", "shadow optimizer")
    assert "rate negative" in str(verdict)


def test_afterwards_the_catalogue_is_as_it_was():
    assert list(faults.ALL) == NAMES
    assert set(catalogue._FAULTS) == set(NAMES)
    assert not [name for name in sys.modules if name.endswith("a_reader_s_own")]
    assert "rate negative" not in belief.experience().names


# What the symptoms say of the loss: against the sound twin, on ten settings of seeds from 0 and ten from 100.

ABOVE = """
    LayerNorm backward from another tensor, batches never shuffled, clipped to nothing, dropout at evaluation, endless warm-up,
    epsilon too large, gradient ascent, gradient of another loss, gradient of the batch before, gradients not cleared,
    inputs sorted, last sequence only, loss summed, lost embedding gradient, no residual connection,
    norms left out of the optimizer, rate a thousand times too high, rate a thousand times too low, rate cut at every step,
    rate zero, repeated words counted once, saturated units, softmax twice, stale optimizer, targets of another sequence,
    targets shifted twice, tied by copy, trained on the held-out text, unscaled initialisation, zero initialisation
"""
MOSTLY_ABOVE = """
    Adam without bias correction, batch taken for time, decay through the moments, moments reset each epoch,
    only embeddings updated, constant initialisation
"""
BELOW = """
    LayerNorm over time, heads merged without transposing, last file only, no causal mask, padding counted in the loss,
    softmax over time, target is the word itself, the same batch at every step, transposed mask, vocabulary of another text
"""
MOSTLY_BELOW = "mask after softmax, softmax over queries"
THE_SAME = """
    best weights overwritten, optimizer left out of the checkpoint, schedule left out of the checkpoint,
    validated on the training text
"""
VALIDATION_BELOW = """
    decay through the moments, no causal mask, padding counted in the loss, shared ids, softmax over time,
    target is the word itself, trained on the held-out text, transposed mask, validated on the training text
"""
VALIDATION_ABOVE = "the same batch at every step, vocabulary of another text"


def listed(names):
    found = [name.strip() for name in names.replace("\n", " ").split(",")]
    assert set(found) <= set(NAMES)
    return found


HOW_MANY = {  # of twenty: two fewer than were found at the worst, for machines that round otherwise
    **dict.fromkeys(listed(MOSTLY_ABOVE), (11, 0)),
    **dict.fromkeys(listed(MOSTLY_BELOW), (0, 10)),
    **dict.fromkeys(listed(ABOVE), (15, 0)),
    **dict.fromkeys(listed(BELOW), (0, 15)),
}
_HEALTHY = {}


def pairs(name):
    """Of each of twenty patients, the end of its run and of its sound twin's."""
    found = []
    for settings in [*settings_for(name, 10), *settings_for(name, 10, begin=100)]:
        if settings not in _HEALTHY:
            _HEALTHY[settings] = end_of(assembled(settings), settings.steps)
        found.append((end_of(trainer_of(name, settings), settings.steps), _HEALTHY[settings]))
    return found


def end_of(trainer, steps):
    """Mean loss of a run's last ten steps, and its last validation loss; infinite for NaN."""
    losses = run(trainer, steps)
    last = float(np.mean(losses[-10:])), list(trainer.history.validation_losses.values())[-1]
    return [np.inf if np.isnan(value) else value for value in last]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_ends_where_its_symptom_says(name):
    found = pairs(name)
    above, below = (sum(sign * ill[0] > sign * sound[0] for ill, sound in found) for sign in (1, -1))
    at_least_above, at_least_below = HOW_MANY.get(name, (0, 0))
    assert above >= at_least_above
    assert below >= at_least_below
    if name in listed(THE_SAME):
        assert above == below == 0
    elif name not in HOW_MANY:  # beside the sound twin's: neither is the rule
        middle = float(np.median([ill[0] - sound[0] for ill, sound in found]))
        assert abs(middle) < 0.3
    lower, higher = (sum(sign * ill[1] > sign * sound[1] for ill, sound in found) for sign in (-1, 1))
    assert lower >= (18 if name in listed(VALIDATION_BELOW) else 0)
    assert higher >= (18 if name in listed(VALIDATION_ABOVE) else 0)
