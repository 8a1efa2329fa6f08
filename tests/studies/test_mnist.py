import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets.mnist import Mnist
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison, Problem
from manymodes.studies.mnist.digits import (
    DigitBackbone,
    OnPrincipalComponents,
    answers,
    as_images,
    digit_part,
    digit_regressor,
    figures,
    moved,
)
from manymodes.studies.mnist.images import DIAGONAL, GAUSSIAN, LEVELS, LOW_RANK, bits, grey, judged, one_normal
from manymodes.studies.mnist.pictures import confusion, mosaic, to_show
from manymodes.studies.mnist.words import between, confused, of_all_images, of_densities, of_models

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 28, 28), dtype=np.uint8)
DIGITS = np.arange(60) % 10


def four_or_nine(chance, scale=0.17):
    """A density with that probability of 4, else 9."""
    loc = torch.tensor([[[4.0], [9.0]]]).double().expand(len(chance), -1, -1)
    weights = torch.stack([torch.as_tensor(chance), 1 - torch.as_tensor(chance)], -1).double()
    return Mixture(Categorical(weights), DiagonalNormal(loc, torch.full_like(loc, scale)))


def doubtful(chances):
    """What is found of images that are a 4 or a 9."""
    table = np.zeros((len(chances), 10))
    table[:, 4], table[:, 9] = chances, 1 - np.array(chances)
    mean = table @ np.arange(10.0)
    return {"chances": table, "mean": mean, "best": table.argmax(1), "seconds": 61.4}


def compared(**shares):
    names = {"own": models.MDN, "single": models.LEAST_SQUARES, "near": models.NEIGHBOURS}
    records = {
        names[key]: [{"log_score": mode, "digit_of_mode": mode, "digit_of_mean": mean}]
        for key, (mode, mean) in shares.items()
    }
    return Comparison(Problem("digits", lambda seed: None, {}), records)


# --- from the image to the digit ---


def test_images_move_down_and_to_the_right_and_leave_nothing_behind():
    x = torch.from_numpy(IMAGES[:3])
    shifted = moved(x, torch.tensor([[2, 0, -1], [1, 0, -2]]))
    assert torch.equal(shifted[0, 2:, 1:], x[0, :-2, :-1])
    assert not shifted[0, :2].any()
    assert not shifted[0, :, :1].any()
    assert torch.equal(shifted[1], x[1])
    assert torch.equal(shifted[2, :-1, :-2], x[2, 1:, 2:])


def test_only_training_images_are_moved():
    torch.manual_seed(0)
    backbone, x = DigitBackbone(), torch.from_numpy(IMAGES[:2])
    backbone.eval()
    assert torch.equal(backbone(x), backbone(x))
    assert backbone(x).shape == (2, backbone.out_features)
    backbone.layers.eval()
    backbone.training = True
    assert not torch.equal(backbone(x), backbone(x))


def test_rows_of_pixels_become_the_images_that_they_were():
    np.testing.assert_array_equal(as_images(IMAGES.reshape(60, -1).astype(float)), IMAGES)


def test_backbones_of_different_seeds_start_apart():
    first, again, other = (next(digit_regressor(random_state=seed).backbone.parameters()) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_rows_are_drawn_and_test_rows_shuffled_by_the_seed():
    data = Mnist(IMAGES, DIGITS, IMAGES[:30], DIGITS[:30])
    part, other = digit_part(data, 20, 0), digit_part(data, 20, 1)
    assert part.X.shape == (20, 784)
    assert not np.array_equal(part.X_test, other.X_test)
    place = {image.tobytes(): digit for image, digit in zip(IMAGES, DIGITS, strict=True)}
    for rows, y in ((part.X, part.y), (part.X_test, part.y_test)):
        assert [place[row.tobytes()] for row in rows] == y.tolist()
    assert sorted(part.y_test) == sorted(DIGITS[:30])
    np.testing.assert_array_equal(part.true_modes[:, 0, 0], part.y_test)


def test_a_model_on_principal_components_sees_as_many_numbers():
    class Model:
        def fit(self, X, y):
            self.shapes = [X.shape]

        def predict_distribution(self, X):
            self.shapes.append(X.shape)
            return four_or_nine(np.full(len(X), 0.5))

    model, rows = Model(), IMAGES.reshape(60, -1)
    OnPrincipalComponents(model, 7).fit(rows, DIGITS).predict_distribution(rows[:5])
    assert model.shapes == [(60, 7), (5, 7)]


def test_answers_are_the_digits_and_chances_that_were_put_in():
    said = answers(four_or_nine([0.7, 0.2]), np.array([4, 4]))
    assert said.best.tolist() == [4, 9]
    np.testing.assert_allclose(said.mean, [5.5, 8.0])
    np.testing.assert_allclose(said.chances[:, 4], [0.7, 0.2], atol=3e-3)
    np.testing.assert_allclose(said.chances[:, 9], [0.3, 0.8], atol=3e-3)
    np.testing.assert_allclose(np.exp(said.score), said.chances[:, 4], rtol=1e-6)
    assert ((said.rank >= 0) & (said.rank <= [0.702, 0.202])).all()


def test_true_chances_are_calibrated_and_false_ones_are_not():
    # ranks of calibrated predictions have an error of .006 from 3,000 rows, twice that in fewer than 1 of 1,000 cases
    chance = RNG.random(3000)
    y = np.where(RNG.random(3000) < chance, 4, 9)
    honest, false = (figures(answers(four_or_nine(share), y), y) for share in (chance, 1 - chance))
    assert honest["calibration_error"] < 0.012
    assert false["calibration_error"] > 0.05
    assert honest["digit_of_mode"] == pytest.approx(0.75, abs=0.03)
    assert honest["digit_score"] > false["digit_score"]


# --- pictures ---


def test_shown_are_first_digits_and_then_one_image_of_each_doubtful_pair():
    chances = np.full((6, 10), 1e-3)
    y = np.array([7, 7, 2, 1, 9, 3])
    chances[np.arange(6), y] = 0.99
    chances[1, [4, 9, 7]] = 0.5, 0.45, 0.01
    chances[4, [9, 4]] = 0.5, 0.47  # likelier than that of the other image that may be a 4 or a 9
    chances[5, [3, 5]] = 0.6, 0.3
    assert to_show(chances, y, 2) == [0, 2, 3, 4, 5]


def test_confusions_are_counted_by_digit_and_what_it_is_taken_for():
    table = confusion(np.array([4, 4, 9, 0, 9]), np.array([9.0, 4.0, 4.0, -1.0, 12.0]))
    assert table.sum() == 5
    assert (table[4, 9], table[4, 4], table[9, 4], table[0, 0], table[9, 9]) == (1, 1, 1, 1, 1)


def test_a_mosaic_holds_every_image_at_its_place():
    side, whole = 28 + 3, mosaic(IMAGES[:6].reshape(2, 3, -1))
    assert whole.shape == (2 * side, 3 * side)
    np.testing.assert_array_equal(whole[side + 3 : 2 * side, 2 * side + 3 : 3 * side], 255 - IMAGES[5])
    assert (whole[:3] == 255).all()


# --- from the digit to the image ---


def test_grey_levels_are_kept_with_chance_within_them():
    points = grey(IMAGES[:4], 0)
    np.testing.assert_array_equal((points * LEVELS).floor().reshape(4, 28, 28), IMAGES[:4] // 16)
    assert torch.equal(points, grey(IMAGES[:4], 0))
    assert not torch.equal(points, grey(IMAGES[:4], 1))


def test_one_normal_has_the_moments_of_each_digit():
    pixels = grey(IMAGES, 0)
    density = one_normal(torch.from_numpy(DIGITS), pixels)
    torch.testing.assert_close(density.mean[3], pixels[DIGITS == 3].mean(0))
    torch.testing.assert_close(density.variance[3], pixels[DIGITS == 3].var(0))


def test_images_are_judged_under_the_density_of_their_digit():
    pixels = grey(IMAGES, 0)
    density = one_normal(torch.from_numpy(DIGITS), pixels)
    found = judged(density, DIGITS, pixels)
    own = torch.stack([density[int(digit)].log_prob(row[None])[0] for digit, row in zip(DIGITS, pixels, strict=True)])
    assert found["log_score"] == pytest.approx(float(own.mean()), rel=1e-5)
    assert found["error"] == pytest.approx(float(own.std()) / math.sqrt(60), rel=1e-4)
    assert found["bayes"] == 1.0


def test_grey_levels_without_structure_take_all_their_bits():
    flat = bits({"log_score": 0.0, "error": 784 * math.log(2)})
    assert flat.mean == math.log2(LEVELS)
    assert flat.error == pytest.approx(1.0)


# --- words ---


def test_the_mean_is_wrong_where_the_digit_is_doubtful():
    found, y = doubtful([1.0, 0.0, 0.52, 0.4]), np.array([4, 9, 4, 4])
    told = of_all_images(found, y)
    assert "is the right digit on 75 ± 25 % of 4 test images, after 61 seconds of training" in told
    assert "nearest to the mean, on 50 ± 29 %." in told
    assert "differ on 2 images: there the mode is right on 1, the mean on 0." in told
    told = between(found, y)
    assert "On 2 images (50.0%) at least two digits have 5% or more." in told
    assert "The true one is among them on 100%. On 2 of them the mean is nearest to a digit" in told
    assert "on 1 of all images it is more than 0.25 away from every integer" in told


def test_nothing_is_told_of_doubts_where_there_are_none():
    found, y = doubtful([1.0, 0.0]), np.array([4, 9])
    assert of_all_images(found, y).endswith("The two never differ.")
    assert between(found, y) == "On no image have two digits at least 5% each."
    assert confused(found, y) == "No digit is taken for another."


def test_digits_are_confused_in_pairs_whichever_was_meant():
    found = {"best": np.array([9, 4, 5, 0])}
    told = confused(found, np.array([4, 9, 3, 0]))
    assert told == "Most often taken for each other, of 3 mistakes, are 4 and 9 (2 images) and 3 and 5 (1 image)."


def test_models_are_told_by_mode_and_mean():
    told = of_models(compared(own=(0.966, 0.906), single=(0.614, 0.614), near=(0.93, 0.76)))[-1]
    assert (
        f"the best mode of the {models.MDN} is the right digit on 96.6 % of the images and its mean on 90.6 %" in told
    )
    assert f"the {models.LEAST_SQUARES} with the same layers, whose mean is all it has, on 61.4 %" in told
    assert told.endswith(f"Of the other models the best mode of the {models.NEIGHBOURS} is right most often, on 93 %.")


def test_densities_are_told_from_the_best_and_losses_are_called_so():
    def told(low_rank):
        scores = {GAUSSIAN: 894.0, DIAGONAL: 1160.0, LOW_RANK: low_rank}
        return of_densities({name: {"log_score": score, "error": 3.0} for name, score in scores.items()})

    assert told(1187.0).index(LOW_RANK) < told(1187.0).index(DIAGONAL) < told(1187.0).index(GAUSSIAN)
    assert "Pixels that vary together gain 27 nats an image" in told(1187.0)
    assert "Pixels that vary together lose 10 nats an image" in told(1150.0)
    assert told(1187.0).endswith("instead of one normal gain 266.")
