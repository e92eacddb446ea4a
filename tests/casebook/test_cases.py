"""Case files: the same everywhere, silent about what they hide, and fair in what they charge."""

import ast
import copy
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import traceback
import types
import warnings
from functools import cached_property

import numpy as np
import pytest
from casebook.opened import EVERY, hidden, opened
from notebooks.books import MACHINES, ROOT

from cllm_lib import casebook
from cllm_lib.casebook import cases, faults
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient

SECRET = ("cllm_lib/casebook/faults/", "cllm_lib/defects/")  # files that no message may name
KEEPS_SOMETHING = ["gradients not cleared", "dropout at evaluation", "gradient of the batch before", "moments reset each epoch"]


def everything(case):
    """All that a case has to say, as text: numbers to the last digit."""
    said = {name: [*case.ask(name).words, *map(repr, case.ask(name).numbers.items())] for name in case.instruments}
    return json.dumps([hidden(case).defect, str(case.settings), repr(case.settings), case.losses, case.validation_losses, said])


class TestSameness:
    def test_a_seed_gives_the_same_case_again_and_in_another_process(self):
        program = "from casebook.test_cases import everything, casebook\nfor seed in (4, 5): print(everything(casebook.admit(seed)))"
        path = "import sys; sys.path[:0] = ['tests']; "
        done = subprocess.run([sys.executable, "-c", path + program], capture_output=True, text=True, check=True, cwd=ROOT)
        here = [everything(casebook.admit(seed)) for seed in (4, 5)]
        assert done.stdout.splitlines() == here
        assert here[0] != here[1]

    @pytest.mark.parametrize("defect", KEEPS_SOMETHING)
    def test_an_answer_does_not_depend_on_what_was_asked_before(self, defect):
        self.compare(defect)

    @pytest.mark.slow
    @pytest.mark.parametrize("defect", EVERY)
    def test_no_answer_of_any_defect_depends_on_what_was_asked_before(self, defect):
        self.compare(defect)

    @staticmethod
    def compare(defect):
        first, second = opened(defect), opened(defect)
        for name in reversed(second.instruments):
            second.ask(name)
        assert everything(first) == everything(second)

    def test_a_copy_and_a_pickle_are_new_files_of_the_same_patient(self):
        case = casebook.admit(5, difficulty=2)
        case.ask("loss at the start")
        for again in (copy.copy(case), copy.deepcopy(case), pickle.loads(pickle.dumps(case))):
            assert (again.seed, again.difficulty, again.settings, again.losses) == (5, 2, case.settings, case.losses)
            assert hidden(again).defect == hidden(case).defect
            assert again.asked == ()


def words_of(seeds):
    """By seed, as text: defect, settings, and all words; of a run that flew apart no words."""
    found = {}
    for seed in seeds:
        case = casebook.admit(seed)
        words = {name: case.ask(name).words for name in case.instruments}
        # Where a step is a thousand times as long as all weights, the last bit of a product decides what becomes of the rest.
        if not np.isfinite(case.losses).all() or case.ask("update ratios").numbers.get("largest", 0.0) > 1e3:
            words = "it flew apart"
        found[seed] = (hidden(case).defect, repr(case.settings), words)
    return found


def compare_kernels(machine, seeds):
    """Hold another kind of processor to what this one says."""
    program = f"import sys; sys.path[:0] = ['tests']; from casebook.test_cases import words_of; print(repr(words_of({seeds})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **MACHINES[machine]}, cwd=ROOT
    )
    assert ast.literal_eval(done.stdout) == words_of(seeds)


@pytest.mark.elsewhere
@pytest.mark.parametrize("machine", MACHINES)
def test_the_words_are_the_same_on_every_kind_of_processor(machine):
    """Those of float32, where rounding is coarse; all others in `make test-all`."""
    compare_kernels(machine, [seed for seed in range(16) if casebook.admit(seed).settings.dtype == "float32"])


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_the_words_of_fifty_cases_are_the_same_on_every_kind_of_processor(machine):
    compare_kernels(machine, list(range(50)))


def walked(thing, depth=4, seen=None):
    """Everything that completion would reach from an object, by names without an underscore, and what its `__dict__` holds."""
    seen = {} if seen is None else seen
    if depth and id(thing) not in seen and not isinstance(thing, type | types.ModuleType):
        seen[id(thing)] = thing
        names = [name for name in dir(thing) if not name.startswith("_")] if not isinstance(thing, types.FunctionType) else []
        for name in names:
            walked(getattr(thing, name), depth - 1, seen)
        for inner in [*getattr(thing, "__dict__", {}).values(), *(thing.values() if isinstance(thing, dict) else ())]:
            walked(inner, depth - 1, seen)
    return list(seen.values())


def is_secret(thing):
    """Whether it comes from where defects are made."""
    module = f"{getattr(thing, '__module__', '')} {type(thing).__module__}"
    return "casebook.faults" in module or "cllm_lib.defects" in module


class TestSilence:
    @pytest.mark.parametrize("defect", EVERY)
    def test_nothing_that_can_be_printed_completed_or_pickled_names_it(self, defect, capfd):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            case = opened(defect)
            question = next(iter(faults.ALL[defect].told_by if defect in faults.ALL else kit.ALL))
            reading = case.ask(question)
            texts = [repr(case), str(case), repr(case.settings), str(case.settings), repr(case.losses), repr(case.validation_losses)]
            texts += [*dir(case), repr(pickle.dumps(case)), repr(case.ask), repr(case.instruments), repr(case.asked)]
        assert warned == []
        assert capfd.readouterr() == ("", "")
        assert not [text for text in texts if re.search(rf"\b{re.escape(defect)}\b|faults|cllm_lib\.defects", text)]
        assert not [thing for thing in walked(case) + walked(reading) if is_secret(thing)]
        assert not any(secret in repr(vars(reading)) for secret in SECRET)

    def test_its_names_are_those_of_the_page_and_it_has_no_dict(self):
        case = opened("shared ids")
        names = {name for name in dir(case) if not name.startswith("_")}
        assert names == {
            "accuse", "ask", "asked", "cost", "difficulty", "instruments", "losses", "seed", "settings", "validation_losses", "verdict",
        }  # fmt: skip
        with pytest.raises(TypeError):
            vars(case)
        with pytest.raises(AttributeError):
            case.defect = "healthy"
        with pytest.raises(TypeError, match=r"casebook\.admit\(seed\) opens one"):
            casebook.Case()

    @pytest.mark.slow
    @pytest.mark.parametrize("defect", EVERY)
    def test_no_answer_at_all_and_no_verdict_warns_prints_or_holds_a_part_of_it(self, defect, capfd):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            case = opened(defect)
            readings = [case.ask(name) for name in case.instruments]
            verdict = case.accuse(defect)
        assert warned == []
        assert capfd.readouterr() == ("", "")
        assert not [thing for part in (*readings, verdict) for thing in walked(part) if is_secret(thing)]
        own_words = {word.name for tool in kit.ALL.values() for word in tool.words}
        for reading in readings:
            said = str(reading)
            for word in own_words | set(reading.numbers):  # the words of a page, the same for every patient
                said = said.replace(word, "")
            assert defect not in said


class Broken(ValueError):
    """As a part of a patient might raise it, with more to say than is good."""


def broken_off(work, places, at, what):
    """Run `work`, and at the `at`-th call into a file of `places` raise, or press Ctrl-C. The exception, or None."""
    calls = 0

    def watch(frame, event, argument):
        nonlocal calls
        file = frame.f_code.co_filename.replace("\\", "/")
        if event == "call" and any(place in file for place in places) and not file.endswith(("catalogue.py", "__init__.py")):
            calls += 1
            if calls == at:
                sys.settrace(None)
                if what is KeyboardInterrupt:
                    signal.raise_signal(signal.SIGINT)
                else:
                    raise what(f"in {file}")

    before, tracing = signal.signal(signal.SIGINT, signal.default_int_handler), sys.gettrace()
    sys.settrace(watch)
    try:
        work()
    except (KeyboardInterrupt, RuntimeError) as error:
        return error
    finally:
        sys.settrace(tracing)
        signal.signal(signal.SIGINT, before)
    return None


def told_by_traceback(error):
    """The files of its frames, the objects in them, and the text with all local names, addresses left out; without this file's."""
    files, things, texts = [], [], []
    while error is not None:
        frames = [step for step in _steps(error.__traceback__) if step.tb_frame.f_code.co_filename != __file__]
        files += [step.tb_frame.f_code.co_filename.replace("\\", "/") for step in frames]
        things += [value for step in frames for value in step.tb_frame.f_locals.values()]
        shown = traceback.TracebackException(type(error), error, frames[0], capture_locals=True)
        texts += [re.sub(r"0x[0-9a-f]+", "", "".join(shown.format(chain=False)))]
        error = error.__cause__ or error.__context__
    return files, things, "".join(texts)


def _steps(step):
    while step is not None:
        yield step
        step = step.tb_next


QUESTIONS = {
    "a question": lambda case: case.ask("gradients"),
    "an accusation": lambda case: case.accuse("shared ids"),
}


class TestTracebacks:
    @pytest.mark.parametrize("what", [KeyboardInterrupt, Broken])
    @pytest.mark.parametrize("at", [1, 4])
    @pytest.mark.parametrize("question", QUESTIONS)
    def test_what_breaks_off_looks_the_same_for_every_defect(self, question, at, what):
        texts, some = {}, EVERY if at == 1 else EVERY[::3]
        for defect in some:
            case = opened(defect)
            places = SECRET if defect in faults.ALL else ("training/trainer.py",)
            error = broken_off(lambda case=case: QUESTIONS[question](case), places, at, what)
            if error is None:  # a part that is called less often
                continue
            files, things, texts[defect] = told_by_traceback(error)
            assert isinstance(error, KeyboardInterrupt if what is KeyboardInterrupt else RuntimeError)
            assert not [file for file in files if any(secret in file for secret in SECRET)]
            assert not [thing for thing in things if is_secret(thing)]
        assert len(texts) == len(EVERY) if at == 1 else len(texts) > len(some) / 2
        assert len(set(texts.values())) == 1

    @pytest.mark.parametrize("what", [KeyboardInterrupt, Broken])
    def test_an_admission_that_breaks_off_tells_nothing(self, what):
        texts = set()
        for seed in range(12):
            error = broken_off(lambda seed=seed: casebook.admit(seed), SECRET, 1, what)
            if error is not None:
                files, things, text = told_by_traceback(error)
                texts.add(re.sub(rf"\b{seed}\b", "", text))
                assert not [file for file in files if any(secret in file for secret in SECRET)]
                assert not [thing for thing in things if is_secret(thing)]
        assert len(texts) == 1

    def test_it_says_what_to_do_and_the_case_can_be_asked_again(self):
        case = opened("shared ids")
        error = broken_off(lambda: case.ask("gradients"), SECRET, 1, Broken)
        assert str(error).startswith("the instrument 'gradients' broke off (Broken): that is a fault of the case files")
        assert case.asked == ()
        assert case.cost == 0
        assert case.ask("count the text").words == opened("shared ids").ask("count the text").words


class TestQuestions:
    def test_asking_twice_costs_once(self):
        case = opened("shared ids")
        first = case.ask("count the text")
        assert case.ask("count the text") is first
        case.ask("overlap")
        assert case.asked == ("count the text", "overlap")
        assert case.cost == case.instruments["count the text"] + case.instruments["overlap"]
        assert repr(case) == f"<case 7: 2 asked, cost {case.cost}, open>"

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("gradient", "there is no instrument 'gradient': did you mean 'gradients'"),
            ("Rate Log", "'rate log'"),
            ("zzzzz", "there is no instrument 'zzzzz': case.instruments has all"),
            (["overlap"], "there is no instrument ['overlap']: did you mean 'overlap'"),
        ],
    )
    def test_an_unknown_instrument_gets_those_that_are_near(self, name, hint):
        case = opened("shared ids")
        with pytest.raises(ValueError, match=re.escape(hint)):
            case.ask(name)
        assert case.cost == 0

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("shared id", "there is no defect 'shared id': did you mean 'shared ids'"),
            ("zero init", "'zero initialisation'"),
            ("%%%", f"there is no defect '%%%': casebook.DEFECTS has all {len(EVERY)} names"),
            (None, "there is no defect None"),
        ],
    )
    def test_an_unknown_defect_gets_those_that_are_near_and_closes_nothing(self, name, hint):
        case = opened("shared ids")
        with pytest.raises(ValueError, match=re.escape(hint)):
            case.accuse(name)
        assert "open" in repr(case)

    def test_every_defect_may_be_accused_and_has_a_sentence(self):
        assert list(casebook.DEFECTS) == EVERY
        assert all(len(sentence) > 10 for sentence in casebook.DEFECTS.values())


class TestVerdicts:
    def test_a_right_accusation_costs_no_more_and_tells_all(self):
        case = opened("shared ids")
        case.ask("count the text")
        verdict = case.accuse("shared ids")
        assert verdict.right
        assert verdict.cost == case.cost == case.instruments["count the text"]
        assert case.verdict is verdict
        assert verdict.evidence
        assert all(line.startswith("count the text: ") for line in verdict.evidence)
        assert verdict.best_question == "count the text"
        assert str(verdict).startswith(f"Right: shared ids. {faults.ALL['shared ids'].what}")
        assert faults.ALL["shared ids"].repair in str(verdict)

    @pytest.mark.parametrize(("truth", "accused"), [("shared ids", "last file only"), ("shared ids", "healthy"), ("healthy", "shared ids")])
    def test_a_wrong_accusation_and_acquitting_the_sick_cost_more(self, truth, accused):
        case = opened(truth)
        case.ask("rate log")
        verdict = case.accuse(accused)
        assert not verdict.right
        assert (verdict.accused, verdict.defect) == (accused, truth)
        assert verdict.cost == case.instruments["rate log"] + cases.WRONG
        assert str(verdict).startswith(f"Wrong: {truth}.")

    def test_an_acquittal_of_the_healthy_costs_no_more_and_both_curves_are_the_same(self):
        case = opened("healthy")
        verdict = case.accuse("healthy")
        assert (verdict.right, verdict.cost, verdict.asked, verdict.evidence) == (True, 0, (), ())
        assert verdict.before == verdict.after == case.losses
        assert "Right: healthy. Nothing is wrong." in str(verdict)

    @pytest.mark.parametrize("defect", ["zero initialisation", "shared ids", "gradient ascent"])
    def test_its_curves_are_the_patient_s_and_that_of_the_healthy_twin(self, defect):
        case = opened(defect)
        verdict = case.accuse("healthy")
        twin = Patient(case.settings, lambda: casebook.building.assembled(case.settings), case.settings.steps)
        assert verdict.before == case.losses
        assert verdict.after == twin.trained.history.losses
        assert verdict.before != verdict.after
        assert len(verdict.after) == case.settings.steps

    def test_a_closed_file_refuses_another_accusation(self):
        case = opened("shared ids")
        first = case.accuse("healthy")
        with pytest.raises(ValueError, match=r"case 7 is closed \(shared ids\): admit another one"):
            case.accuse("shared ids")
        assert case.verdict is first
        assert "closed" in repr(case)

    def test_what_is_asked_afterwards_changes_no_verdict(self):
        case = opened("shared ids")
        verdict = case.accuse("shared ids")
        case.ask("overlap")
        assert (verdict.cost, verdict.asked) == (0, ())


@pytest.fixture
def quick(monkeypatch):
    """Admission without training or reading: who is drawn."""
    trained = cached_property(lambda self: None)
    trained.__set_name__(Patient, "trained")
    monkeypatch.setattr(Patient, "trained", trained)
    monkeypatch.setattr(cases, "is_told", lambda defect, patient: True)


class TestAdmission:
    @pytest.mark.parametrize("difficulty", [1, 2, 3, None])
    def test_a_difficulty_draws_all_its_defects_no_others_and_one_in_seven_is_healthy(self, quick, difficulty):
        fitting = [name for name, level in casebook.difficulties().items() if difficulty in (level, None)]
        admitted = [casebook.admit(seed, difficulty) for seed in range(700)]
        drawn = [hidden(case).defect for case in admitted]
        assert set(drawn) == {casebook.HEALTHY, *fitting}
        assert 65 < drawn.count(casebook.HEALTHY) < 135  # 100 expected, a standard deviation of 9
        for case in admitted[:50]:
            assert hidden(case).defect == casebook.HEALTHY or faults.ALL[hidden(case).defect].applies(case.settings)

    def test_all_three_have_defects(self):
        assert set(casebook.difficulties()) == set(faults.ALL)
        assert set(casebook.difficulties().values()) == {1, 2, 3}

    def test_whom_no_instrument_tells_is_refused_and_the_healthy_never(self, quick, monkeypatch):
        told = iter([False, False, True] * 200)
        monkeypatch.setattr(cases, "is_told", lambda defect, patient: next(told))
        files = [hidden(casebook.admit(seed)) for seed in range(60)]
        assert {file.refused for file in files if file.defect != casebook.HEALTHY} == {0, 1, 2}
        assert any(file.defect == casebook.HEALTHY for file in files)

    def test_the_healthy_are_looked_at_too_so_that_admission_takes_as_long(self, quick, monkeypatch):
        looked = []
        monkeypatch.setattr(cases, "is_told", lambda defect, patient: looked.append(defect) or True)
        healthy = sum(hidden(casebook.admit(seed)).defect == casebook.HEALTHY for seed in range(40))
        assert healthy > 0
        assert len(looked) == 40

    @pytest.mark.parametrize("seed", [-1, 1.5, "three", None, True])
    def test_a_bad_seed_is_told_so(self, seed):
        with pytest.raises(ValueError, match=rf"seed is {seed!r}: give a whole number of at least 0"):
            casebook.admit(seed)

    @pytest.mark.parametrize("difficulty", [0, 4, "hard", 1.0, True, [1]])
    def test_a_bad_difficulty_is_told_so(self, difficulty):
        with pytest.raises(ValueError, match=re.escape(f"difficulty is {difficulty!r}: give 1, 2 or 3")):
            casebook.admit(0, difficulty)

    def test_numpy_s_numbers_are_numbers_and_a_seed_may_be_long(self, quick):
        assert casebook.admit(np.int64(3), np.int64(2)).settings == casebook.admit(3, 2).settings
        assert casebook.admit(2**100).seed == 2**100

    @pytest.mark.parametrize("defect", ["shared ids", "missing attention gradient", "endless warm-up", "dropout at evaluation"])
    def test_the_sick_are_told_and_the_healthy_are_not(self, defect):
        assert cases.is_told(defect, hidden(opened(defect)).patient)
        assert not cases.is_told(defect, hidden(opened("healthy")).patient)
