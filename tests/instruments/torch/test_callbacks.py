"""The doctor as a callback: planted faults are named from inside the trainer, and the training is what it would have been without it."""

import subprocess
import sys
import types

import pytest

from cllm_lib.instruments.torch import callbacks
from cllm_lib.instruments.torch.callbacks import hugging_face, lightning
from cllm_lib.instruments.torch.doctor import Report

REASON = "large; `make test-all` installs it"
WITHOUT_LOOP = "the trainer's own loop"


@pytest.mark.parametrize(
    ("make", "package", "brings"),
    [
        ("hugging_face", "torch", "the doctor for PyTorch needs the package torch: `pip install torch`"),
        ("lightning", "torch", "the doctor for PyTorch needs the package torch: `pip install torch`"),
        ("hugging_face", "transformers", "a callback for its Trainer needs the package transformers: `pip install transformers"),
        ("lightning", "lightning", "a callback for Lightning's Trainer needs the package lightning: `pip install lightning`"),
    ],
)  # fmt: skip
def test_a_package_that_is_missing_is_named_with_what_brings_it(make, package, brings, monkeypatch):
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("lightning", "pytorch_lightning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(callbacks.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(callbacks, "LIGHTNINGS", ("lightning.pytorch", "no_such_lightning"))
    with pytest.raises(ModuleNotFoundError, match=brings):
        {"hugging_face": hugging_face, "lightning": lightning}[make]()


def test_the_face_loads_neither_package():
    program = "import sys; from cllm_lib.instruments.torch import hugging_face, lightning; "
    program += "print({'torch', 'transformers', 'lightning', 'pytorch_lightning'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize(("is_healthy", "stop", "stops"), [(True, True, False), (False, True, True), (False, False, False)])
def test_it_stops_only_if_it_was_asked_to_and_something_was_found(is_healthy, stop, stops, monkeypatch, capsys):
    report = Report("a verdict", None, is_healthy, (), {}, ())
    monkeypatch.setattr(callbacks, "examine", lambda **arguments: report)
    looking = callbacks.Looking(stop)
    assert not looking.wants_to_stop
    looking._look(lambda: ({}, "a reason"))
    assert (looking.wants_to_stop, looking.is_done) == (stops, True)
    assert looking.report.skipped == {WITHOUT_LOOP: "a reason"}
    said = capsys.readouterr().out
    assert said.startswith("verdict: a verdict\n")
    assert ("training stops here" in said) == stops
    assert callbacks.FOLLOWED not in said


def test_whatever_goes_wrong_inside_the_training_goes_on(capsys):
    looking = callbacks.Looking(stop=True)
    looking._look(lambda: 1 / 0)
    assert (looking.report, looking.why_not, looking.wants_to_stop) == (None, "ZeroDivisionError: division by zero", False)
    assert capsys.readouterr().out == "doctor: nothing was examined: ZeroDivisionError: division by zero\n"


@pytest.fixture(autouse=True)
def one_thread():
    """Small models are quickest so, and the same sums come out each time."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def rows(count=32, length=12, words=50):
    """Rows of words at random, as a causal model of transformers takes them."""
    torch = pytest.importorskip("torch", reason=REASON)
    found = torch.randint(1, words, (count, length), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row.clone()} for row in found]


def padded(left_out):
    """Rows of different lengths, filled up by 0; these have no part in the loss, or do."""
    found = rows()
    for number, row in enumerate(found):
        row["input_ids"][5 + number % 7 :] = 0
        row["labels"] = row["input_ids"].clone()
        if left_out:
            row["labels"][5 + number % 7 :] = -100
    return found


def shifted_once_more():
    """Labels shifted by the data, for a model that shifts them itself."""
    return [{"input_ids": row["input_ids"][:-1], "labels": row["input_ids"][1:]} for row in rows()]


def small_gpt2(dropout=0.1):
    torch = pytest.importorskip("torch", reason=REASON)
    transformers = pytest.importorskip("transformers", reason=REASON)
    torch.manual_seed(1)
    noise = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2, **noise))


def fit_transformers(folder, doctor=None, data=rows, optimizers=None, scaled=1.0, model=small_gpt2, **settings):
    """Two epochs of the Trainer of transformers. Returns it."""
    pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("accelerate", reason=REASON)
    transformers = pytest.importorskip("transformers", reason=REASON)

    class Scaled(transformers.Trainer):
        def training_step(self, *arguments, **more):
            loss = super().training_step(*arguments, **more)
            for parameter in self.model.parameters():
                if scaled != 1.0 and parameter.grad is not None:
                    parameter.grad *= scaled
            return loss

    model = model()
    plain = dict(report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=8, num_train_epochs=2, **plain | settings
    )
    made = (None, None) if optimizers is None else optimizers(model)
    trainer = Scaled(model=model, args=arguments, train_dataset=data(), callbacks=[doctor] if doctor else [], optimizers=made)
    trainer.train()
    return trainer


def falls_at_each_step(model):
    """A schedule meant for epochs: this Trainer steps it at each step."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)


def of_another_model(model):
    import torch

    return torch.optim.AdamW(small_gpt2().parameters(), 1e-3), None


def of_one_layer(model):
    import torch

    return torch.optim.AdamW(model.transformer.h[0].parameters(), 1e-3), None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({}, None),
        ({"gradient_accumulation_steps": 2, "data": lambda: padded(True)}, None),
        ({"warmup_steps": 4, "bf16": True}, None),
        ({"warmup_steps": 10}, None),
        ({"data": lambda: padded(True)}, None),
        ({"data": lambda: padded(False)}, "padding_in_loss"),
        ({"data": shifted_once_more}, "targets_by_two"),
        ({"max_grad_norm": 1e-6}, "clipped_away"),
        ({"learning_rate": 0.0}, "zero_rate"),
        ({"optimizers": falls_at_each_step}, "scheduler_per_batch"),
        ({"optimizers": of_another_model}, "stale_optimizer"),
        ({"optimizers": of_one_layer}, "not_in_optimizer"),
    ],
    ids=[
        *("sound", "accumulation", "warm-up in 16 bits", "warm-up longer than the run", "padding left out"),
        *("padding counts", "shifted twice", "clipped", "rate 0", "StepLR at each step", "another model's weights", "one layer's weights"),
    ],
)
def test_in_the_trainer_of_transformers_the_planted_fault_is_named(settings, cause, tmp_path):
    pytest.importorskip("transformers", reason=REASON)
    doctor = hugging_face()
    trainer = fit_transformers(tmp_path, doctor, **settings)
    assert doctor.report.cause == cause, doctor.report
    assert doctor.why_not == ""
    assert WITHOUT_LOOP not in doctor.report.skipped
    assert "the training loop was not looked at" not in doctor.report.verdict
    assert trainer.state.global_step == 8 // settings.get("gradient_accumulation_steps", 1)


@pytest.mark.slow
def test_in_the_trainer_of_transformers_a_loop_of_ones_own_is_not_said_to_be_looked_at(tmp_path):
    """The gradient that arrives is not the one that the settings make."""
    pytest.importorskip("transformers", reason=REASON)
    doctor = hugging_face()
    fit_transformers(tmp_path, doctor, scaled=-1.0)
    assert "another gradient" in doctor.report.skipped[WITHOUT_LOOP]
    assert "the training loop was not looked at" in doctor.report.verdict


@pytest.mark.slow
def test_in_the_trainer_of_transformers_a_loss_made_elsewhere_is_said(tmp_path):
    pytest.importorskip("transformers", reason=REASON)
    doctor = hugging_face(stop=True)
    trainer = fit_transformers(tmp_path, doctor, label_smoothing_factor=0.1)
    assert doctor.report is None
    assert "the model returned no loss: it is computed outside of it" in doctor.why_not
    assert trainer.state.global_step == 8


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "steps"), [({}, 8), ({"max_grad_norm": 1e-6}, 1)], ids=["sound", "clipped"])
def test_the_trainer_of_transformers_stops_after_its_first_step_if_something_is_found(settings, steps, tmp_path):
    pytest.importorskip("transformers", reason=REASON)
    assert fit_transformers(tmp_path, hugging_face(stop=True), **settings).state.global_step == steps


@pytest.mark.slow
def test_a_training_of_transformers_is_what_it_would_have_been_without_the_doctor(tmp_path):
    torch = pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("transformers", reason=REASON)
    doctor = hugging_face()
    looked_at, alone = (fit_transformers(tmp_path, one).model.state_dict() for one in (doctor, None))
    assert doctor.report is not None
    assert all(torch.equal(looked_at[name], alone[name]) for name in alone)


# What follows is about Lightning.


def module_of(kind, **settings):
    """A LightningModule of some kind."""
    torch = pytest.importorskip("torch", reason=REASON)
    pl = pytest.importorskip("lightning.pytorch", reason=REASON)
    nn = torch.nn
    more = types.SimpleNamespace(rate=1e-3, schedule=None, interval="epoch", mask=True, shift=1, softmax=False, some=None)
    vars(more).update(settings)

    class Classifier(pl.LightningModule):
        def __init__(self):
            super().__init__()
            last = [nn.Softmax(-1)] if more.softmax else []
            self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3), *last)

        def training_step(self, batch, batch_idx):
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(more.some(self) if more.some else self.parameters(), more.rate)
            if more.schedule is None:
                return optimizer
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": more.schedule(optimizer), "interval": more.interval}}

    class ByHand(Classifier):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            optimizer.step()

    class Noisy(Classifier):
        """What the network is to give back is drawn in `training_step`."""

        def training_step(self, batch, batch_idx):
            noise = torch.randn(len(batch[0]), 3)
            return ((self.net(batch[0] + noise.sum(1, keepdim=True)) - noise) ** 2).mean()

    class OwnStep(Classifier):
        def optimizer_step(self, *arguments, **named):
            super().optimizer_step(*arguments, **named)

    class AsksForItsTrainer(Classifier):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * self.trainer.max_epochs

    class Words(Classifier):
        def __init__(self):
            super().__init__()
            self.net = None
            self.table, self.layer = nn.Embedding(30, 16), nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.output = nn.Linear(16, 30)

        def forward(self, ids):
            mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1]) if more.mask else None
            return self.output(self.layer(self.table(ids), src_mask=mask))

        def training_step(self, batch):
            logits = self(batch[0][:, : -more.shift])
            return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), batch[0][:, more.shift :].flatten())}

    torch.manual_seed(0)
    return locals()[kind]()


def fit_lightning(module, doctor=None, **settings):
    """Two epochs of Lightning's Trainer, on 64 examples. Returns it."""
    torch = pytest.importorskip("torch", reason=REASON)
    pl = pytest.importorskip("lightning.pytorch", reason=REASON)
    generator = torch.Generator().manual_seed(0)
    if hasattr(module, "table"):
        data = (torch.randint(0, 30, (64, 12), generator=generator),)
    else:
        data = torch.randn(64, 4, generator=generator), torch.randint(0, 3, (64,), generator=generator)
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", callbacks=[doctor] if doctor else [], **plain, **settings)
    torch.manual_seed(3)
    trainer.fit(module, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), 8, shuffle=True))
    return trainer


def step_lr(optimizer):
    import torch

    return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)


def cosine_for_the_run(optimizer):
    import torch

    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 16)


def first_layer(module):
    return module.net[0].parameters()


LOUD = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


@LOUD
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "made", "settings", "cause"),
    [
        ("Classifier", {}, {}, None),
        ("Classifier", {}, {"accumulate_grad_batches": 3, "gradient_clip_val": 1.0}, None),
        ("Classifier", {}, {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"}, None),
        ("Classifier", {}, {"precision": "bf16-mixed"}, None),
        ("Classifier", {"schedule": step_lr}, {}, None),
        ("Classifier", {"schedule": cosine_for_the_run, "interval": "step"}, {}, None),
        ("Noisy", {}, {}, None),
        ("Words", {}, {}, None),
        ("Words", {"mask": False}, {}, "no_causal_mask"),
        ("Words", {"shift": 2}, {}, "targets_by_two"),
        ("Classifier", {"softmax": True}, {}, "double_softmax"),
        ("Classifier", {"schedule": step_lr, "interval": "step"}, {}, "scheduler_per_batch"),
        ("Classifier", {"rate": 0.0}, {}, "zero_rate"),
        ("Classifier", {"some": first_layer}, {}, "not_in_optimizer"),
        ("Classifier", {}, {"gradient_clip_val": 1e-6}, "clipped_away"),
    ],
    ids=[
        *("sound", "accumulated and clipped", "clipped by value", "16 bits", "StepLR by epochs", "a cosine as long as the run"),
        *("noise as a target", "words", "no mask", "two ahead", "two softmaxes", "StepLR by batches", "rate 0", "one layer's weights"),
        "clipped to nothing",
    ],
)
def test_in_lightnings_trainer_the_planted_fault_is_named(kind, made, settings, cause):
    pytest.importorskip("lightning", reason=REASON)
    doctor = lightning()
    fit_lightning(module_of(kind, **made), doctor, **settings)
    assert doctor.why_not == ""
    assert doctor.report.cause == cause, doctor.report
    assert WITHOUT_LOOP not in doctor.report.skipped
    assert "the training loop was not looked at" not in doctor.report.verdict


@LOUD
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "why"), [("ByHand", "training_step makes its steps by itself"), ("AsksForItsTrainer", "training_step asks for its Trainer")]
)
def test_in_lightnings_trainer_what_cannot_be_called_is_said(kind, why):
    pytest.importorskip("lightning", reason=REASON)
    doctor = lightning(stop=True)
    trainer = fit_lightning(module_of(kind), doctor)
    assert doctor.report is None
    assert why in doctor.why_not
    assert trainer.global_step == 16


@LOUD
@pytest.mark.slow
def test_in_lightnings_trainer_a_step_of_ones_own_is_not_said_to_be_looked_at():
    pytest.importorskip("lightning", reason=REASON)
    doctor = lightning()
    fit_lightning(module_of("OwnStep"), doctor)
    assert doctor.report.skipped[WITHOUT_LOOP] == "OwnStep overrides optimizer_step"
    assert "the training loop was not looked at" in doctor.report.verdict


@LOUD
@pytest.mark.slow
@pytest.mark.parametrize(("softmax", "steps"), [(False, 16), (True, 1)])
def test_lightnings_trainer_stops_after_its_first_step_if_something_is_found(softmax, steps):
    pytest.importorskip("lightning", reason=REASON)
    assert fit_lightning(module_of("Classifier", softmax=softmax), lightning(stop=True)).global_step == steps


@LOUD
@pytest.mark.slow
def test_a_training_of_lightning_is_what_it_would_have_been_without_the_doctor():
    torch = pytest.importorskip("torch", reason=REASON)
    pytest.importorskip("lightning", reason=REASON)
    doctor, results = lightning(), []
    for one in (doctor, None):
        module = module_of("Classifier")
        fit_lightning(module, one)
        results.append(module.state_dict())
    assert doctor.report is not None
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[1])


@LOUD
@pytest.mark.slow
def test_the_callback_is_one_of_the_package_that_the_reader_has_loaded():
    pytest.importorskip("lightning", reason=REASON)
    program = "import {0} as pl; from cllm_lib.instruments.torch import lightning; print(isinstance(lightning(), pl.Callback))"
    for name in ("lightning.pytorch", "pytorch_lightning"):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", program.format(name)], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "True", done.stderr
