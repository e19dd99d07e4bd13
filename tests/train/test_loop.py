"""The training loop: reproducible, resumable, and honest when it fails."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from carezoo.errors import DivergedError, TrainError
from carezoo.train import checkpoint, history, loop, schedule
from carezoo.train.networks.unet import UNet
from carezoo.train.pack import precision
from carezoo.train.sections import Training

SETTINGS = Training(n_epochs=4, steps_per_epoch=3, batch_size=2, learning_rate=1e-3, precision="float32")


def batches(steps, rank=0, n_ranks=1):
    """Draw noisy and clean blobs, the same for the same step."""
    assert (rank, n_ranks) == (0, 1)
    for step in steps:
        yield pair(np.random.default_rng([7, step]))


def pair(rng):
    target = rng.random((2, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)
    source = target + rng.normal(0, 0.3, target.shape).astype(np.float32)
    return torch.from_numpy(source), torch.from_numpy(target)


DATA = loop.TrainingData(batches, [pair(np.random.default_rng(99)) for _ in range(2)])


def new_network(*, probabilistic=False):
    torch.manual_seed(3)
    return UNet("YX", 1, 1, depth=1, kernel=3, n_first=4, is_residual=True, is_probabilistic=probabilistic)


def curve(folder):
    return [{key: row[key] for key in row if key != "seconds"} for row in history.read(folder)]


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_resumed_training_equals_one_in_one_piece_bit_for_bit(tmp_path, averaging):
    settings = replace(SETTINGS, averaging=averaging, plateau_patience=1)
    whole, first, second = new_network(), new_network(), new_network()
    loop.fit(whole, DATA, settings, tmp_path / "whole")
    loop.fit(first, DATA, replace(settings, n_epochs=2), tmp_path / "parts")
    torch.manual_seed(12345)  # what happens between the two parts must not matter
    fitted = loop.fit(second, DATA, settings, tmp_path / "parts", resume=True)
    assert (fitted.n_epochs, fitted.n_steps) == (4, 12)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    expected, found = (
        torch.load(tmp_path / part / "checkpoints" / "last.pt", weights_only=True) for part in ("whole", "parts")
    )
    assert found.pop("seconds") > 0
    assert expected.pop("seconds") > 0
    assert str(found) == str(expected)
    for name, value in weights(whole).items():
        assert torch.equal(weights(second)[name], value), name


def test_the_same_seed_gives_the_same_curve_and_another_start_another_one(tmp_path):
    for folder in ("a", "b"):
        loop.fit(new_network(), DATA, SETTINGS, tmp_path / folder)
    other = new_network()
    torch.nn.init.xavier_uniform_(other.mean.weight)
    loop.fit(other, DATA, SETTINGS, tmp_path / "c")
    assert curve(tmp_path / "a") == curve(tmp_path / "b")
    assert curve(tmp_path / "a") != curve(tmp_path / "c")


def test_the_network_is_left_with_the_best_weights(tmp_path):
    def misleading_later(steps, rank, n_ranks):
        for step, (source, target) in zip(steps, batches(steps), strict=True):
            yield source, target if step < 6 else target - 5

    network = new_network()
    settings = replace(SETTINGS, learning_rate=0.02)
    fitted = loop.fit(network, loop.TrainingData(misleading_later, DATA.validation), settings, tmp_path)
    losses = [float(row["val_loss"]) for row in history.read(tmp_path)]
    assert fitted.best_loss == pytest.approx(min(losses), rel=1e-6)
    assert fitted.best_epoch == 1 + int(np.argmin(losses)) < 3
    output = network(torch.cat([source for source, _ in DATA.validation]))
    target = torch.cat([target for _, target in DATA.validation])
    assert float((output - target).detach().abs().mean()) == pytest.approx(fitted.best_loss, rel=1e-5)


def test_training_lowers_the_loss(tmp_path):
    fitted = loop.fit(new_network(), DATA, replace(SETTINGS, n_epochs=20), tmp_path)
    rows = history.read(tmp_path)
    assert fitted.best_loss < 0.8 * float(rows[0]["val_loss"])
    assert [int(row["epoch"]) for row in rows] == list(range(1, 21))


def test_the_average_starts_without_the_initial_weights(tmp_path):
    network = new_network()
    average = checkpoint.Average(network, 0.999)
    with torch.no_grad():
        network.mean.bias += 1.0
    for step in range(1, 201):
        average.update(network, step)
    assert float(average.network.mean.bias) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("patience", [1, 2, 10])
def test_the_learning_rate_drops_after_exactly_so_many_epochs_without_improvement(patience):
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    falling = schedule.plateau(optimizer, replace(SETTINGS, plateau_patience=patience))
    falling.step(0.5)
    rates = []
    for _ in range(patience):
        rates.append(optimizer.param_groups[0]["lr"])
        falling.step(0.5)  # as low as the best is no improvement
    assert rates == [1.0] * patience
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_the_smallest_improvement_keeps_the_learning_rate():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    falling = schedule.plateau(optimizer, replace(SETTINGS, plateau_patience=2))
    for loss in (0.5, 0.5, 0.5 - 1e-9, 0.5, 0.5 - 2e-9):
        falling.step(loss)
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_early_stop(tmp_path):
    settings = replace(SETTINGS, n_epochs=50, learning_rate=1e-12, early_stop=3)
    fitted = loop.fit(new_network(), DATA, settings, tmp_path)
    assert "no lower validation loss in 3 epochs" in fitted.stopped
    assert fitted.n_epochs == fitted.best_epoch + 3


def test_a_time_limit_ends_within_an_epoch_and_still_validates(tmp_path):
    settings = replace(SETTINGS, steps_per_epoch=10**6, max_minutes=0.01)
    fitted = loop.fit(new_network(), DATA, settings, tmp_path)
    assert fitted.n_epochs == 1
    assert 1 <= fitted.n_steps < 10**6
    assert "minutes are over" in fitted.stopped
    assert math.isfinite(fitted.best_loss)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_no_number_ends_the_training_and_says_what_to_look_at(tmp_path, value):
    def poisoned(steps, rank, n_ranks):
        for step, (source, target) in zip(steps, batches(steps), strict=True):
            if step == 3:
                source[0, 0, 0, 0] = value
            yield source, target

    with pytest.raises(DivergedError, match=r"epoch 2, step 1, with sources.*1 NaN or infinite pixel.*learning_rate"):
        loop.fit(new_network(), loop.TrainingData(poisoned, DATA.validation), SETTINGS, tmp_path)
    assert [row["epoch"] for row in history.read(tmp_path)] == ["1"]
    assert checkpoint.exists(tmp_path / "checkpoints")


def test_a_validation_loss_that_is_no_number_is_told_too(tmp_path):
    validation = [(torch.full((1, 1, 8, 8), np.nan), torch.zeros(1, 1, 8, 8))]
    with pytest.raises(DivergedError, match="validation after epoch 1"):
        loop.fit(new_network(), loop.TrainingData(batches, validation), SETTINGS, tmp_path)


def test_an_interrupted_training_keeps_its_checkpoint_and_says_how_to_continue(tmp_path, caplog):
    def interrupted(steps, rank, n_ranks):
        yield from batches(range(7))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.fit(new_network(), loop.TrainingData(interrupted, DATA.validation), SETTINGS, tmp_path)
    assert "epoch 3" in caplog.text
    assert "--resume" in caplog.text
    assert loop.fit(new_network(), DATA, SETTINGS, tmp_path, resume=True).n_epochs == 4


def test_a_finished_training_is_not_trained_again(tmp_path):
    loop.fit(new_network(), DATA, SETTINGS, tmp_path)
    before = curve(tmp_path)

    def never(steps, rank, n_ranks):
        assert not steps, "no batch is needed"
        return iter(())

    assert (
        loop.fit(new_network(), loop.TrainingData(never, DATA.validation), SETTINGS, tmp_path, resume=True).n_epochs
        == 4
    )
    assert curve(tmp_path) == before


def test_epochs_that_are_repeated_after_a_crash_stand_once_in_the_log(tmp_path):
    loop.fit(new_network(), DATA, replace(SETTINGS, n_epochs=2), tmp_path)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("3,9,9,9,9,9,9\n")
    loop.fit(new_network(), DATA, SETTINGS, tmp_path, resume=True)
    rows = history.read(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[2]["train_loss"] != "9"


def test_checkpoints_of_another_network_are_refused(tmp_path):
    loop.fit(new_network(), DATA, replace(SETTINGS, n_epochs=1), tmp_path)
    with pytest.raises(TrainError, match=r"last\.pt belongs to another network.*scale"):
        loop.fit(new_network(probabilistic=True), DATA, SETTINGS, tmp_path, resume=True)
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"broken")
    with pytest.raises(TrainError, match=r"last\.pt: cannot read"):
        loop.fit(new_network(), DATA, SETTINGS, tmp_path, resume=True)


def test_no_half_written_file_is_left(tmp_path):
    loop.fit(new_network(), DATA, SETTINGS, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", "examples", "log.csv", "tensorboard"}
    assert {path.suffix for path in (tmp_path / "examples").iterdir()} == {".png"}
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best.pt", "last.pt"}


def test_tensorboard_holds_numbers_and_examples(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loop.fit(new_network(probabilistic=True), DATA, replace(SETTINGS, n_epochs=2), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0, "scalars": 0}).Reload()
    assert {"train_loss", "val_loss", "val_mae", "val_mse", "learning_rate"} <= set(events.Tags()["scalars"])
    assert {f"{name}/{i}" for name in ("source", "target", "mean", "scale") for i in (0, 1)} == set(
        events.Tags()["images"]
    )
    assert [len(events.Images(f"{name}/0")) for name in ("source", "target", "mean", "scale")] == [1, 1, 2, 2]


@pytest.mark.parametrize(("n_channels", "n_shown"), [(1, 1), (2, 3), (3, 3), (5, 1)])
def test_example_pictures_of_any_number_of_channels(n_channels, n_shown):
    patch = np.random.default_rng(1).normal(size=(n_channels, 3, 8, 8)).astype(np.float32)
    shown = history.picture(patch, (1, 99.8))
    assert shown.shape == (n_shown, 8, 8)
    assert shown.min() == 0
    assert shown.max() == 1


def test_progress_counts_the_steps(tmp_path):
    seen = []
    loop.fit(new_network(), DATA, SETTINGS, tmp_path, progress=lambda n, total, words: seen.append((n, total)))
    assert seen == [(n, 12) for n in range(1, 13)]


@pytest.mark.parametrize(
    ("asked", "device", "has_bfloat16", "dtype", "is_channels_last"),
    [
        ("auto", "cpu", True, "bf16", True),
        ("auto", "cpu", False, "float32", False),
        ("auto", "cpu", None, "float32", False),
        ("auto", "cuda", True, "bf16", True),
        ("auto", "cuda", False, "float32", True),
        ("float32", "cpu", True, "float32", False),
        ("bf16", "cpu", False, "bf16", True),
    ],
)
def test_precision_follows_the_hardware_unless_asked(asked, device, has_bfloat16, dtype, is_channels_last):
    chosen = precision.choose(asked, device, has_bfloat16=has_bfloat16)
    assert (chosen.dtype, chosen.is_channels_last) == (dtype, is_channels_last)
    assert chosen.reason


def test_slow_bf16_is_told():
    assert "slower" in precision.choose("bf16", "cpu", has_bfloat16=False).reason


def test_training_in_bf16_keeps_weights_and_loss_in_float32(tmp_path):
    network = new_network(probabilistic=True)
    fitted = loop.fit(network, DATA, replace(SETTINGS, precision="bf16", n_epochs=1), tmp_path)
    assert fitted.dtype == "bf16"
    assert math.isfinite(fitted.best_loss)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_time_before_an_interruption_counts(tmp_path):
    settings = replace(SETTINGS, steps_per_epoch=10**6, max_minutes=0.005)
    first = loop.fit(new_network(), DATA, settings, tmp_path)
    again = loop.fit(new_network(), DATA, settings, tmp_path, resume=True)
    assert (again.n_epochs, again.n_steps, again.stopped) == (1, first.n_steps, first.stopped)
    more = replace(settings, max_minutes=10, n_epochs=2, steps_per_epoch=2)  # time that a busy machine has not used up
    assert loop.fit(new_network(), DATA, more, tmp_path, resume=True).n_epochs == 2


def test_the_cosine_falls_to_0_over_all_steps(tmp_path):
    settings = replace(SETTINGS, schedule="cosine", n_epochs=2, plateau_patience=1)
    rates = []
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    for n in range(6):
        schedule.set_cosine(optimizer, settings, n, schedule.Clock(None, 0.0))
        rates.append(optimizer.param_groups[0]["lr"])
    expected = [5e-4 * (1 + math.cos(math.pi * n / 6)) for n in range(6)]
    assert rates == pytest.approx(expected)
    assert expected[3] == pytest.approx(5e-4)
    loop.fit(new_network(), DATA, settings, tmp_path)
    assert [float(row["learning_rate"]) for row in history.read(tmp_path)] == pytest.approx([expected[2], expected[5]])


@pytest.mark.parametrize(("n_epochs", "n_rising"), [(10, 50), (10_000, 200)])
def test_the_cosine_begins_with_a_rise(n_epochs, n_rising):
    settings = replace(SETTINGS, schedule="cosine", n_epochs=n_epochs, steps_per_epoch=100)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    for n, share in ((0, 1 / n_rising), (n_rising // 2 - 1, 0.5), (n_rising - 1, 1.0), (n_rising, 1.0)):
        schedule.set_cosine(optimizer, settings, n, schedule.Clock(None, 0.0))
        fallen = (1 + math.cos(math.pi * n / (100 * n_epochs))) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * share * fallen)


def test_the_cosine_falls_with_the_time_that_is_over():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    for spent_s, rate in ((0.0, 1e-3), (30.0, 5e-4), (60.0, 0.0), (90.0, 0.0)):
        schedule.set_cosine(optimizer, SETTINGS, 0, schedule.Clock(1.0, spent_s))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, abs=1e-12)


def test_the_likelihood_ends_a_training_and_its_best_epoch_counts(tmp_path):
    settings = replace(SETTINGS, loss="faithful", likelihood_from=0.5, plateau_patience=1)
    fitted = loop.fit(new_network(probabilistic=True), DATA, settings, tmp_path / "whole")
    judged = [float(row["val_loss"]) for row in history.read(tmp_path / "whole")]
    plain = replace(settings, likelihood_from=1.0)
    loop.fit(new_network(probabilistic=True), DATA, plain, tmp_path / "plain")
    before = [float(row["val_loss"]) for row in history.read(tmp_path / "plain")]
    assert judged[:2] == before[:2]
    assert max(before) < min(judged[2:])  # logarithms of squared errors, then nats
    assert fitted.best_loss == pytest.approx(min(judged[2:]), rel=1e-6)
    assert fitted.best_epoch == 3 + int(np.argmin(judged[2:]))
    loop.fit(new_network(probabilistic=True), DATA, replace(settings, n_epochs=3), tmp_path / "parts")
    again = loop.fit(
        new_network(probabilistic=True), DATA, replace(settings, n_epochs=3), tmp_path / "parts", resume=True
    )
    assert again.best_epoch == 3  # the second half of three epochs begins with the third


def test_other_trainings_keep_their_loss_to_the_last_step():
    over, clock = 2 * SETTINGS.n_epochs * SETTINGS.steps_per_epoch, schedule.Clock(None, 0.0)
    assert schedule.loss_name(SETTINGS, over, clock) == "auto"
    ending = replace(SETTINGS, loss="faithful", likelihood_from=0.5)
    assert [schedule.loss_name(ending, n, clock) for n in (5, 6, over)] == ["faithful", "laplace", "laplace"]


def test_gradients_are_clipped_only_if_asked(tmp_path, monkeypatch):
    norms = []
    step = torch.optim.Adam.step

    def noting(self, *args, **kwargs):
        gradients = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.stack(gradients).norm()))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noting)
    for norm in (1e-3, None):
        settings = replace(SETTINGS, n_epochs=1, steps_per_epoch=1, max_gradient_norm=norm)
        loop.fit(new_network(), DATA, settings, tmp_path / str(norm))
    assert norms[0] == pytest.approx(1e-3, rel=1e-3)
    assert norms[1] > 1e-2
