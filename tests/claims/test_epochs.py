"""The fair test: the target is the plain model's, rates are chosen by tuning alone, and the verdict turns with the runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import claims
from cllm_lib.claims import Run, epochs, registry
from cllm_lib.experiments.survival import restricted_mean

TEXTS = tuple(epochs.HORIZONS)


@pytest.fixture(autouse=True)
def forget():
    caches = (epochs.curves, epochs.targets, epochs.chosen_rates)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def straight(speed, text, first=6.0, best=5.0):
    """Losses that fall by `speed` an epoch down to `best`, at every half epoch."""
    moments = np.arange(0, epochs.HORIZONS[text] + 0.5, 0.5)
    return {f"epoch {moment:g}": max(best, first - speed * moment) for moment in moments}


@pytest.fixture
def stored(monkeypatch):
    """Made-up tuning and runs: speeds of the sides by name, text and, in tuning, rate; all others fall by 0.5 an epoch."""

    def store(speed_of, rate_of=None, jitter=0.0, best_of=lambda side: 5.0 if side == "plain" else 4.0):
        generator = np.random.default_rng(0)
        made = {"tuning": {}, "epochs_needed": {}}
        for text in TEXTS:
            for variant, (side, rate) in epochs.TUNINGS.items():
                for seed in epochs.TUNING_SEEDS:
                    curve = straight(speed_of(side, text) if rate == 0.01 else 0.2, text, best=best_of(side))
                    made["tuning"] |= {Run(variant, text, seed, measure): loss for measure, loss in curve.items()}
            for side in epochs.SIDES:
                for seed in epochs.SEEDS:
                    curve = straight(speed_of(side, text) + jitter * generator.standard_normal(), text, best=best_of(side))
                    curve["rate"] = 0.01 if rate_of is None else rate_of(side)
                    made["epochs_needed"] |= {Run(side, text, seed, measure): value for measure, value in curve.items()}
        monkeypatch.setattr(epochs, "runs", made.__getitem__)

    return store


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12), st.integers(-50, 50))
def test_the_first_crossing_is_where_a_fine_walk_along_the_lines_finds_it(losses, target):
    moments, target = list(range(len(losses))), target + 0.5
    found = epochs.epochs_to(target, moments, losses)
    fine = np.linspace(0, len(losses) - 1, 1 + 1000 * (len(losses) - 1))
    there = np.interp(fine, moments, losses) <= target
    assert found == (pytest.approx(fine[there.argmax()], abs=2e-3) if there.any() else np.inf)


def test_a_run_that_blew_up_never_gets_there():
    assert epochs.epochs_to(1.0, [0, 1, 2], [3.0, np.nan, np.nan]) == np.inf


def test_the_target_is_one_that_the_plain_model_reaches_whatever_the_others_do(stored):
    stored(lambda side, text: 0.5, best_of=lambda side: 5.0 if side == "plain" else 1.0)
    assert epochs.targets() == pytest.approx(dict.fromkeys(TEXTS, 5.0))


@given(st.lists(st.floats(4.0, 6.0), min_size=10, max_size=10))
def test_eight_of_ten_tuning_seeds_of_the_plain_model_get_to_the_target(lowest):
    with pytest.MonkeyPatch.context() as patch:
        curves = {seed: ([0.0, 1.0], [6.5, loss]) for seed, loss in enumerate(lowest)}
        others = {seed: ([0.0, 1.0], [6.5, 6.4]) for seed in range(10)}
        patch.setattr(
            epochs, "curves", lambda name: {(f"plain, {r:g}", t): curves if r == 0.01 else others for r in epochs.RATES for t in TEXTS}
        )
        epochs.targets.cache_clear()
        for text in TEXTS:
            assert sum(loss <= epochs.targets()[text] for loss in lowest) >= 8
            assert sum(loss < epochs.targets()[text] for loss in lowest) < 8  # and no easier one


def test_each_side_takes_the_rate_that_got_there_first_in_the_mean_of_its_own_tuning(stored):
    stored(lambda side, text: 0.1 if side == "prime" else 0.5)
    rates = epochs.chosen_rates()
    assert all(rate == (epochs.RATES[0] if side == "prime" else 0.01) for (side, _), rate in rates.items())  # the first of equals


def test_where_no_rate_gets_there_the_lowest_loss_decides(stored, monkeypatch):
    stored(lambda side, text: 0.5, best_of=lambda side: -100.0)
    monkeypatch.setattr(epochs, "targets", lambda: dict.fromkeys(TEXTS, -200.0))
    assert np.isinf(epochs.epochs_of_arrival("tuning", "plain, 0.01", "prose")).all()
    assert set(epochs.chosen_rates().values()) == {0.01}


def test_the_judged_mean_is_the_restricted_mean_of_survival(stored):
    stored(lambda side, text: 0.05 if side == "clock" else 0.5, jitter=0.1)
    found = epochs.epochs_of_arrival("epochs_needed", "clock", "prose")
    horizon = epochs.HORIZONS["prose"]
    assert np.isinf(found).any()
    assert epochs.restricted("epochs_needed", "clock", "prose").mean() == pytest.approx(
        restricted_mean(np.minimum(found, horizon), np.isfinite(found), horizon)
    )


def fewer(side, factor, texts=TEXTS):
    return lambda name, text: 0.5 * (factor if name == side and text in texts else 1.0)


def test_it_holds_where_a_crystalline_side_is_first_on_every_text(stored):
    stored(lambda side, text: fewer("spiral", 2.0)(side, text), jitter=0.01)
    assert epochs.fewer_epochs()[1] == claims.HOLDS


def test_one_text_alone_is_a_condition(stored):
    stored(fewer("spiral", 2.0, ["prose"]), jitter=0.01)
    assert epochs.fewer_epochs()[1].startswith(f"{claims.PARTLY} ")
    assert "prose" in epochs.fewer_epochs()[1]


def test_to_beat_the_plain_model_alone_is_another(stored):
    stored(lambda side, text: {"spiral": 1.0, "rotary": 1.1}.get(side, 0.5), jitter=0.01)
    assert "plain model" in epochs.fewer_epochs()[1]


def test_nothing_gained_nothing_held(stored):
    stored(lambda side, text: 0.5, jitter=0.01)
    assert epochs.fewer_epochs()[1] == claims.FAILS


def test_what_so_few_seeds_cannot_tell_is_undecided(stored):
    stored(lambda side, text: 0.5, jitter=0.2)
    assert epochs.fewer_epochs()[1] == claims.UNDECIDED


def test_a_side_is_picked_by_its_tuning_not_by_the_runs_that_judge(stored, monkeypatch):
    stored(lambda side, text: 0.6 if side == "clock" else 0.5)
    made = {name: dict(epochs.runs(name)) for name in ("tuning", "epochs_needed")}
    for run in made["epochs_needed"]:
        if run.variant == "prime" and run.measure != "rate":
            made["epochs_needed"][run] = 0.0  # there at once
    monkeypatch.setattr(epochs, "runs", made.__getitem__)
    epochs.curves.cache_clear()
    assert [epochs.best_side(text, True) for text in TEXTS] == ["clock"] * 3
    told = epochs.fewer_epochs()[0]
    assert [text for text in TEXTS if f"{text}: clock against plain" not in told] == [], told


def test_runs_at_another_rate_than_the_tuning_chose_are_refused(stored):
    stored(lambda side, text: 0.5, rate_of=lambda side: 0.3 if side == "clock" else 0.01)
    with pytest.raises(ValueError, match=r"has 'clock' on 'sayings' at 0.3, and the tuning chooses 0.01"):
        epochs.fewer_epochs()


def test_tuning_seeds_are_not_used_again():
    assert not set(epochs.TUNING_SEEDS) & set(epochs.SEEDS)
    assert len(epochs.SEEDS) >= 10
    assert {side for side, _ in epochs.TUNINGS.values()} == set(epochs.SIDES)
    assert all(sum(name == side for name, _ in epochs.TUNINGS.values()) == len(epochs.RATES) for side in epochs.SIDES)


@pytest.mark.parametrize("side", epochs.SIDES)
def test_every_side_trains_and_is_the_same_run_twice(side, monkeypatch):
    monkeypatch.setattr(epochs, "HORIZONS", {"sayings": 1})
    first, again = (epochs.curve(side, 0.01, 3, "sayings") for _ in range(2))
    assert first == again
    losses = list(first.values())
    assert next(iter(first)) == "epoch 0"
    assert losses[-1] < losses[0]


def test_the_pull_that_knows_nothing_is_as_strong_as_the_one_that_knows_features():
    words = ("<unk>", "night", "light", "lights")
    pairs = np.triu_indices(len(words), 1)
    blind, sighted = epochs.alike(words)[pairs], epochs.SIDES["pull, by features"].similarities(words)[pairs]
    assert blind.mean() == pytest.approx(sighted.mean())
    assert np.ptp(blind) == 0.0 < np.ptp(sighted)


def test_the_pull_of_another_word_has_the_same_similarities_between_others():
    words = ("<unk>", "night", "light", "lights", "sky", "skies")
    dealt, true = epochs.of_another_word(words), epochs.SIDES["pull, by features"].similarities(words)
    np.testing.assert_allclose(np.sort(dealt, axis=None), np.sort(true, axis=None))
    np.testing.assert_allclose(dealt, dealt.T)
    assert not np.allclose(dealt, true)


def test_distances_on_ulams_paper():
    assert epochs.ulam_distances(5)[0].tolist() == pytest.approx([0.0, 1.0, np.sqrt(2), 1.0, np.sqrt(2)])


def test_the_experiments_are_registered_tuning_first():
    names = [name for name, one in registry.EXPERIMENTS.items() if one.measure.__module__ == epochs.__name__]
    assert names == ["tuning", "epochs_needed"]
