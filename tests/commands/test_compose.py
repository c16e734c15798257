"""The words of a command line become recipes, and an error message names what was probably meant."""

import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlab.commands.compose import engine
from gradlab.commands.compose.grid import Grid, grid
from gradlab.commands.main import main
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, flat, folder_name, plain


def composed(*words: str, multirun: bool = False, config_dir: Path | None = None) -> Grid:
    return grid(words, multirun, config_dir)


def single(*words: str) -> Recipe:
    (recipe,) = composed(*words).recipes
    return recipe


def test_no_words_give_the_defaults():
    recipe = single()
    assert (recipe.depth, recipe.width, recipe.lr, recipe.clip) == (20, 64, 0.1, {"name": "none"})


def test_groups_and_numbers_are_set():
    recipe = single("depth=50", "clip=norm", "clip.threshold=0.5", "log.every=10", "study=mine")
    assert (recipe.depth, recipe.clip) == (
        50,
        {
            "name": "norm",
            "threshold": 0.5,
            "p": 2.0,
            "thresholds": {},
            "warmup": 0.0,
            "warmup_from": 10.0,
            "where": "gradient",
        },
    )
    assert (recipe.log.every, recipe.study) == (10, "mine")


def test_the_order_of_words_does_not_matter():
    assert single("clip.threshold=0.5", "clip=norm") == single("clip=norm", "clip.threshold=0.5")


def test_the_command_line_says_what_the_model_s_file_says_otherwise():
    assert single("depth=7", "model=mlp").depth == 7


def test_the_probes_are_a_list():
    assert list(single("probe=[forward,backward]").probes) == ["backward", "forward"]  # the check sorts them


def test_every_value_of_the_defaults_is_plain():
    kinds = {type(value) for value in flat(plain(single())).values()}
    assert kinds <= {str, int, float, bool, list}


BAD = {
    "depht=3": "there is no option 'depht'; did you mean 'depth'?",
    "init=he": "there is no option 'init'; did you mean 'initializer'?",
    "norm=batch": "there is no option 'norm'; did you mean 'normalization'?",
    "act=relu": "there is no option 'act'; did you mean 'activation'?",
    "optimizer.lr=0.1": "there is no option 'optimizer.lr'; did you mean 'lr'?",
    "learning_rate=1": "there is no option 'learning_rate'; did you mean 'lr'?",
    "lr_factors=0.5": "lr_factors=0.5 must be a mapping",
    "probe=[]": "probe=[] measures nothing; name one or more",
    "momentum=0.9": "there is no option 'momentum'; did you mean 'optimizer=momentum'?",
    "frozen=input": "there is no option 'frozen'; did you mean 'freeze'?",
    "freeze=3": "freeze=3 must be a list [a,b] of text",
    "early_stopping=3": "there is no option 'early_stopping'; did you mean 'stop.patience'?",
    "optimizer=lamb": "there is no optimizer 'lamb'; did you mean 'optimizer=optax:lamb'?",
    "optimizer.momentum=0.9": "did you mean 'optimizer=momentum'?",
    "initializer=fixup": "there is no initializer 'fixup'; did you mean 'residual=fixup'?",
    "initializer.c=1": "there is no option 'initializer.c'; initializer=orthogonal has gain",
    "batch=3": "there is no option 'batch'; did you mean 'batch_size'?",
    "log=3": "did you mean 'log.every'?",
    "activation=rleu": "there is no activation 'rleu'; did you mean 'relu'?",
    "activation=3": "there is no activation '3'",
    "clip=null": "there is no clip 'null'",
    "clip=": "there is no clip ''",
    "clip={name: norm}": "there is no clip",
    "clip.threshold=1": "no option 'clip.threshold' for clip=none; it belongs to clip=agc, ",
    "clip.name=norm": "write clip=norm",
    "probe=[forward,bakward]": "there is no probe 'bakward'; did you mean 'backward'?",
    "mlp": "'mlp' is not key=value; did you mean 'model=mlp'?",
    "50": "'50' is not key=value",
    "=3": "there is no option ''",
    "width=[": "'width=[' cannot be parsed",
    "~clip": "a key cannot be removed",
    "clip@x=norm": "a key cannot have an '@'",
    "depth=10,20": "depth=10,20 is a grid: add -m",
    "seed=interval(0,1)": "an interval is not a list of values",
    "experiment=no_such": "there is no experiment 'no_such'",
    "model=../../secret": "there is no model",
    "study=../elsewhere": "study=../elsewhere must be a plain name",
    "study=.hidden": "must be a plain name",
    "width=${oc.env:HOME}": "'width': write the value itself",
    "hydra.run.dir=/tmp/x": "'hydra.run.dir' cannot be set",
    "hydra.searchpath=[/tmp]": "'hydra.searchpath' cannot be set",
    "hydra/launcher=joblib": "'hydra/launcher' cannot be set",
    "hydra.mode=CHAOS": "hydra.mode=CHAOS is not RUN or MULTIRUN",
    "_target_=os.system": "there is no option '_target_'",
    "+token=abc": "there is no option 'token'",
    "outputs=": "outputs= must name a folder",
}


@pytest.mark.few(6)
@pytest.mark.parametrize(("word", "message"), BAD.items())
def test_a_bad_word_is_one_line(word, message):
    with pytest.raises(RecipeError) as error:
        composed(word)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


KEYS = st.sampled_from([*options.groups(), *options.keys(), "clip.threshold", "hydra.mode", "probes", "x"])
VALUES = st.one_of(
    st.text(max_size=8), st.sampled_from(["a,b", "[1]", "{a: 1}", "range(3)", "null", "1e999"])
)


@pytest.mark.slow
@settings(max_examples=150)
@given(key=KEYS, sign=st.sampled_from(["=", "=", "=", ""]), value=VALUES, multirun=st.booleans())
def test_whatever_is_typed_is_composed_or_refused_with_a_recipe_error(key, sign, value, multirun):
    with suppress(RecipeError):
        composed(f"{key}{sign}{value}", multirun=multirun)


def test_a_grid_has_every_combination_the_last_key_fastest():
    study = composed("depth=10,20", "initializer=he,xavier", "lr=0.5", multirun=True)
    assert study.keys == ["depth", "initializer"]
    assert study.labels[:2] == ["depth=10 initializer=he", "depth=10 initializer=xavier"]
    assert [recipe.depth for recipe in study.recipes] == [10, 10, 20, 20]
    assert {recipe.lr for recipe in study.recipes} == {0.5}


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("word", "values"),
    [("depth=range(10,40,10)", [10, 20, 30]), ("depth=choice(3,5)", [3, 5]), ("depth=4,4", [4])],
)
def test_a_grid_may_be_written_as(word, values):
    assert [recipe.depth for recipe in composed(word, multirun=True).recipes] == values


@pytest.mark.slow
def test_glob_takes_every_option_of_a_group():
    study = composed("clip=glob(*)", multirun=True)
    assert [recipe.clip["name"] for recipe in study.recipes] == options.groups()["clip"]


def test_quoted_values_of_a_grid_lose_their_quotes():
    study = composed("study='a','b'", multirun=True)
    assert [recipe.study for recipe in study.recipes] == ["a", "b"]


@pytest.mark.slow
def test_all_errors_of_a_grid_are_reported_at_once():
    with pytest.raises(RecipeError) as error:
        composed("clip=none,norm,value", "clip.threshold=1.0", "activation=tanh,rleu", multirun=True)
    first, second, advice = str(error.value).splitlines()
    assert "clip=none activation=tanh: there is no option 'clip.threshold'" in first
    assert "activation=rleu and 0 more" not in second
    assert "there is no activation 'rleu'" in second
    assert advice.endswith("--skip-unfit runs the others")


def test_the_errors_of_the_check_join_the_others():
    with pytest.raises(
        RecipeError, match=r"depth=0: depth=0 must be .*\ndepth=-1: depth=-1 must be .*\ndepth=x: "
    ):
        grid(["depth=10,0,-1,x"], multirun=True)


def test_a_grid_without_end_is_refused_at_once():
    with pytest.raises(RecipeError, match="at most 10000"):
        composed("lr=range(0.1,1000000000)", multirun=True)


def test_each_recipe_of_a_grid_has_its_own_folder():
    study = composed("lr=0.1,0.2", "seed=0,1", multirun=True)
    assert len({folder_name(recipe) for recipe in study.recipes}) == 4


@pytest.mark.parametrize(
    "value", ["a=b.csv", "a#b.csv", "a,b.csv", "a b.csv", 'a"b#.csv', "a'b=.csv", "a\\b=c.csv", "[a", "a{b"]
)
def test_a_value_that_cannot_be_parsed_gets_a_hint_that_works_when_pasted(value, tmp_path):
    """The hint, split as a shell splits it, gives the value itself."""
    with pytest.raises(RecipeError) as error:
        grid([f"data.path={value}#", "data=csv", "data.target=y"])
    hint = str(error.value).rpartition("write ")[2]
    (pasted,) = shlex.split(hint)
    (recipe,) = grid([pasted, "data=csv", "data.target=y"]).recipes
    assert recipe.data["path"] == f"{value}#"


@pytest.mark.parametrize("flag", ["--info", "-cn", "--config-name=x", "-p"])
def test_a_flag_of_hydra_is_answered_with_what_does_the_same_here(flag, capsys):
    assert main(["run", flag]) == 2
    assert "is a flag of Hydra, not of gradlab; " in capsys.readouterr().err


def test_a_launcher_of_hydra_is_answered_with_what_gradlab_does():
    for launcher, name in {"joblib": "local", "submitit_slurm": "slurm", "basic": "inline"}.items():
        with pytest.raises(RecipeError, match=f"gradlab's engine for it is engine={name}"):
            engine.split([f"hydra/launcher={launcher}"])
