import pytest

from manymodes.studies.frame.work import Work
from manymodes.studies.sensitivity import PROBLEMS, _factors, _matters_most


def moved(factors, regret_of):
    def records(factor):
        return {value: [{"regret": regret_of(factor, place)}] for place, value in enumerate(factor.values)}

    return {factor.name: records(factor) for factor in factors}


def test_settings_of_the_model_are_told_by_what_they_move_the_regret_the_most_first():
    factors = _factors(Work("sensitivity"), PROBLEMS[0])
    size = {"lr": 2.0, "n_components": 1.0, "width": 0.5, "n_rows": 50.0, "noise": 50.0}
    sentence = _matters_most(
        PROBLEMS[0], factors, moved(factors, lambda factor, place: size[factor.name] * (place > 0))
    )
    assert sentence.endswith("learning rate 2, components 1, units of a layer 0.5.")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_usual_noise_is_among_those_that_are_tried(problem):
    noise = _factors(Work("sensitivity"), problem)[-1]
    assert problem.noises[1] in noise.values
    assert list(noise.values) == sorted(noise.values)
