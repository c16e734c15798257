"""A user's own function as a part: named by its place, its numbers in the recipe, tried before anything is written."""

import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from gradlab.commands.compose.grid import grid
from gradlab.engine.families import FAMILIES
from gradlab.parts.clips.contract import Clip
from gradlab.parts.family import Family
from gradlab.parts.penalties import Penalty
from gradlab.recipe.bounds import Fraction
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import numbers, structure
from tests.recipes import launch, tiny

activation = FAMILIES["activation"]


def snake(z, frequency=1.0, harmonic: int = 1):
    return z + jnp.sin(frequency * harmonic * z) ** 2 / frequency


def bounded(z, share: Fraction):
    return share * z


def no_array(z):
    raise ValueError("only for even widths")


HERE = f"{__name__}:"


def test_its_numbers_are_keys_with_their_defaults():
    assert activation.check({"name": f"{HERE}snake"}) == {
        "name": f"{HERE}snake",
        "frequency": 1.0,
        "harmonic": 1,
    }
    assert activation.check({"name": f"{HERE}snake", "frequency": 2})["frequency"] == 2.0
    made = activation.make({"name": f"{HERE}snake", "frequency": 2.0, "harmonic": 1})
    assert float(made.phi(jnp.float32(1.0))) == pytest.approx(1 + 0.8268218 / 2, abs=1e-6)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"name": f"{HERE}snaek"}, "has no 'snaek'"),
        ({"name": "no_such_package:snake"}, "'no_such_package' cannot be imported"),
        ({"name": f"{HERE}HERE"}, "is not a function"),
        ({"name": f"{HERE}snake", "frequncy": 2.0}, "did you mean 'activation.frequency'"),
        ({"name": f"{HERE}snake", "frequency": "fast"}, "activation.frequency=fast must be a number"),
        ({"name": f"{HERE}snake", "harmonic": 1.5}, "activation.harmonic=1.5 must be a whole number"),
        ({"name": f"{HERE}bounded"}, "needs activation.share: a number above 0 below 1"),
        ({"name": f"{HERE}bounded", "share": 1.0}, "activation.share=1.0 must be a number above 0 below 1"),
    ],
)
def test_what_is_wrong_with_it_is_told_in_one_line(part, told):
    with pytest.raises(RecipeError) as caught:
        activation.check(part)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_chosen_on_the_command_line_and_its_floats_are_data():
    words = [f"activation={HERE}snake", "activation.frequency=2"]
    (one,) = grid(words).recipes
    (two,) = grid([words[0], "activation.frequency=3"]).recipes
    assert numbers(one)["activation.frequency"] == 2.0
    assert structure(one) == structure(two)


@pytest.mark.slow
def test_a_grid_may_hold_it_beside_others():
    found = grid([f"activation=tanh,{HERE}snake"], multirun=True).recipes
    assert [one.activation["name"] for one in found] == ["tanh", f"{HERE}snake"]


def test_an_option_of_one_s_own_folder_may_name_it(tmp_path):
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "snake.yaml").write_text(f"name: {HERE}snake\nfrequency: 3.0\n")
    (found,) = grid(["activation=snake"], config_dir=tmp_path).recipes
    assert found.activation == {"name": f"{HERE}snake", "frequency": 3.0, "harmonic": 1}


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "text",
    [
        "activation: {name: 'os:system'}",
        "hydra: {mode: MULTIRUN, sweeper: {params: {activation: 'os:system,tanh'}}}",
        "optimizer: {name: phases, phases: [{optimizer: 'os:system', until_step: 3}, {optimizer: sgd}]}",
        "study: os\nactivation: {name: '${study}:system'}",
        "hydra: {mode: MULTIRUN, sweeper: {params: {activation: 'os\\:system'}}}",
    ],
)
def test_an_experiment_may_not_name_code(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path("experiments/mine.yaml").write_text(f"# Harmless?\n{text}\n")
    with pytest.raises(RecipeError, match="names a function, which an experiment may not"):
        grid(["experiment=mine"])


def test_an_experiment_may_not_name_code_through_a_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path("experiments/mine.yaml").write_text("# Harmless?\nclip: {name: 'optax:os:system'}\n")
    with pytest.raises(RecipeError, match="clip=optax:os:system is not the name of a function"):
        grid(["experiment=mine"])


def test_an_experiment_may_name_what_the_command_line_names_and_optax_s_optimizers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    Path("experiments/mine.yaml").write_text("# Harmless?\noptimizer: {name: 'optax:lamb'}\n")
    (found,) = grid(["experiment=mine", f"activation={HERE}snake"]).recipes
    assert (found.optimizer["b1"], found.activation["harmonic"]) == (0.9, 1)


def test_a_module_is_not_walked_through():
    with pytest.raises(RecipeError, match="'os' is a module"):
        activation.check({"name": "contextlib:os.abort"})


def half(step, horizon, share=0.5):
    return jnp.full((), share)


def sum_of_fourths(strength: float = 1.0):
    return Penalty(lambda arrays: strength * sum(jnp.sum(w**4) for w in arrays))


def nothing():
    return Clip(
        lambda params: (),
        lambda grads, state, params, stacked_axes: (grads, state, {"clipped": jnp.zeros(())}),
    )


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ((f"schedule={HERE}half", "schedule.warmup=3"), {"share": 0.5, "warmup": 3.0, "horizon": 0.0}),
        ((f"penalty={HERE}sum_of_fourths",), {"strength": 1.0, "mask": "kernels"}),
        ((f"clip={HERE}nothing", "clip.where=update"), {"where": "update"}),
    ],
)
def test_one_s_own_maker_has_what_all_options_of_its_group_have(words, keys):
    group = words[0].partition("=")[0]
    (found,) = grid(words).recipes
    assert getattr(found, group) == {"name": words[0].partition("=")[2], **keys}
    assert FAMILIES[group].make(getattr(found, group))


def test_the_current_folder_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_own_acts.py").write_text("def double(z):\n    return 2 * z\n")
    assert activation.check({"name": "my_own_acts:double"}) == {"name": "my_own_acts:double"}
    assert str(tmp_path) not in sys.path


def test_one_that_does_not_fit_leaves_nothing_behind(tmp_path):
    with pytest.raises(RecipeError, match=r"no_array does not fit: ValueError: only for even widths"):
        launch(tiny(tmp_path / "outputs", f"activation={HERE}no_array"))
    assert not (tmp_path / "outputs").exists()


def test_a_factor_for_no_parameter_leaves_nothing_behind(tmp_path):
    with pytest.raises(RecipeError, match=r"lr_factors: 'inptu/\*' matches no parameter"):
        launch(tiny(tmp_path / "outputs", "lr_factors={inptu/*:0.0}"))
    assert not (tmp_path / "outputs").exists()


def test_a_module_that_cannot_be_imported_is_reported_at_every_use(tmp_path, monkeypatch):
    (tmp_path / "broken_parts").mkdir()
    (tmp_path / "broken_parts" / "__init__.py").write_text("")
    (tmp_path / "broken_parts" / "clip.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    family = Family("clip", "broken_parts")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            family.parameters("norm")
