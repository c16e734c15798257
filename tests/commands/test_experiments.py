"""Experiments, the shipped ones and a user's: a question, choices, a grid, and nothing else."""

import pytest

import gradlab
from gradlab.analysis.verdicts import diagnose
from gradlab.commands.compose.grid import Grid, grid
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe

SHIPPED = (
    "activation_compare",
    "adding_problem",
    "article_ascent",
    "article_clip_by_value",
    "article_fit",
    "article_fit_learning_rate",
    "batchnorm_explodes",
    "bearing_normalized_depth",
    "clip_compare",
    "clipping_cannot_cure_depth",
    "clipping_saves_training",
    "credit_wrong_start",
    "delta_orthogonal_1000",
    "edge_of_stability",
    "gradient_free_at_dead_depth",
    "he_vs_xavier",
    "initializer_compare",
    "lstm_forget_bias",
    "normalization_compare",
    "optimizer_compare",
    "phases",
    "preln_postln",
    "prose_without_clip",
    "regularization_and_gradients",
    "residual_compare",
    "resnet_vs_plain",
    "rnn_spectral_radius",
    "schedule_compare",
    "shapes_deep_cnn",
    "sparse_embedding",
    "tumours_deep_sigmoid",
    "vanishing_by_activation",
    "vowels_after_a_pause",
)


def composed(*words: str, **more: object) -> Grid:
    return grid(words, **more)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", options.groups()["experiment"])
def test_an_experiment_asks_a_question_and_composes(name):
    study = composed(f"experiment={name}")
    assert options.question(options.experiments()[name]).endswith("?")
    assert len(study.recipes) > 1
    assert {recipe.study for recipe in study.recipes} == {name}


def test_the_shipped_experiments_are_there():
    assert set(SHIPPED) == set(options.groups()["experiment"])


@pytest.mark.few(1)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_experiment_can_be_built_and_runs_in_a_few_minutes(name):
    recipes = composed(f"experiment={name}").recipes
    work = sum(recipe.depth * recipe.width**2 * recipe.steps * recipe.seeds for recipe in recipes)
    assert len(recipes) <= 12  # each structure compiles for 6 to 8 s
    assert work < 5e9  # weights visited: about two minutes


def test_the_command_line_narrows_an_experiment_s_grid():
    study = composed("experiment=vanishing_by_activation", "activation=relu,tanh", "depth=4")
    assert study.labels == ["activation=relu", "activation=tanh"]
    assert {recipe.depth for recipe in study.recipes} == {4}


@pytest.mark.slow
def test_the_command_line_widens_an_experiment_s_grid():
    assert len(composed("experiment=he_vs_xavier", "lr=0.1,0.01").recipes) == 4


@pytest.mark.slow
def test_the_command_line_narrows_every_one_of_an_experiment_s_grids():
    study = composed("experiment=optimizer_compare", "optimizer=adam", "lr=0.001")
    assert [(recipe.optimizer["name"], recipe.lr) for recipe in study.recipes] == [("adam", 0.001)]
    assert study.labels == [""]


@pytest.mark.slow
def test_every_optimizer_of_the_comparison_has_its_own_rate_and_the_same_seeds():
    recipes = composed("experiment=optimizer_compare").recipes
    assert len({recipe.optimizer["name"] for recipe in recipes}) == len(recipes)
    assert len({recipe.lr for recipe in recipes}) > 1
    assert len({(recipe.seed, recipe.seeds, recipe.steps) for recipe in recipes}) == 1


def test_an_experiment_runs_once_when_asked():
    assert len(composed("experiment=he_vs_xavier", "hydra.mode=RUN").recipes) == 1


def test_a_plus_before_an_experiment_is_forgiven():
    assert composed("+experiment=he_vs_xavier") == composed("experiment=he_vs_xavier")


@pytest.mark.slow
def test_several_experiments_keep_their_own_grids():
    study = composed("experiment=he_vs_xavier,batchnorm_explodes", multirun=True)
    assert len(study.recipes) == 5
    assert {recipe.steps for recipe in study.recipes if recipe.study == "batchnorm_explodes"} == {0}


@pytest.mark.slow
def test_sigmoid_and_relu_of_one_distribution_meet_both_clips():
    recipes = composed("experiment=clipping_cannot_cure_depth").recipes
    cells = {(recipe.activation["name"], recipe.clip["name"]) for recipe in recipes}
    assert cells == {(activation, clip) for activation in ("sigmoid", "relu") for clip in ("none", "norm")}
    assert {recipe.initializer["sigma_w"] for recipe in recipes} == {2.0}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write `experiments/mine.yaml` into an empty current folder and compose it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()

    def compose(text: str) -> list[Recipe]:
        (tmp_path / "experiments" / "mine.yaml").write_text(text, "utf-8")
        return composed("experiment=mine").recipes

    return compose


def test_the_current_folder_s_experiments_count(written):
    (recipe,) = written("# Deep?\ndefaults:\n  - override /clip: norm\ndepth: 7\nwidth: ${depth}\n")
    assert (recipe.clip["name"], recipe.depth, recipe.width) == ("norm", 7, 7)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("hydra", "cells"),
    [
        ("{mode: MULTIRUN, sweeper: {params: {depth: '3,4'}}}", 2),
        ("{mode: MULTIRUN, sweeper: {params: {depth: [3, 4, 5]}}}", 3),
        ("{mode: MULTIRUN, sweeper: {params: {depth: 'range(3,5)', remat: [true, false]}}}", 4),
        ("{sweeper: {params: {depth: '3,4'}}}", 1),
        ("{mode: RUN, sweeper: {params: {depth: '3,4'}}}", 1),
        ("{mode: MULTIRUN}", 1),
        ("{mode: MULTIRUN, sweeper: {params: [{depth: '3,4'}, {depth: 5, width: '6,7'}]}}", 4),
        ("{mode: MULTIRUN, sweeper: {params: [{depth: '3,4'}, {depth: '4,5'}]}}", 3),
        ("{mode: RUN, sweeper: {params: [{depth: '3,4'}, {depth: 5}]}}", 1),
    ],
)
def test_a_grid_may_be_written_in_a_file_as(written, hydra, cells):
    assert len(written(f"# Deep?\nhydra: {hydra}\n")) == cells


@pytest.mark.slow
def test_each_grid_of_a_list_says_what_differs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    grids = "[{depth: 3, lr: '1,2', seed: 4}, {depth: 5, seed: 4}]"
    text = f"# Deep?\nhydra: {{mode: MULTIRUN, sweeper: {{params: {grids}}}}}\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(text, "utf-8")
    study = composed("experiment=mine")
    assert study.labels == ["depth=3 lr=1", "depth=3 lr=2", "depth=5"]
    assert study.keys == ["depth", "lr"]


HOSTILE = {
    "hydra: {run: {dir: /tmp/x}}": "of hydra only 'mode' and 'sweeper.params'",
    "hydra: {searchpath: [/tmp]}": "of hydra only 'mode' and 'sweeper.params'",
    "hydra: {launcher: {_target_: os.system}}": "of hydra only 'mode' and 'sweeper.params'",
    "hydra: {sweeper: {params: {depth: 1}, _target_: os.system}}": "of hydra only",
    "hydra: {mode: CHAOS}": "hydra.mode=CHAOS",
    "width: ${oc.env:HOME}": "resolvers",
    "width: ${oc.decode:${oc.env:HOME}}": "resolvers",
    "defaults: [override /model: ../../secret]": "is not '- override /group: option'",
    "defaults: [/model: mlp@hydra]": "is not '- override /group: option'",
    "defaults: [override /hydra/job_logging: none]": "is not '- override /group: option'",
    "defaults: [override /activation: rleu]": "rleu",
    "outputs: /etc": "outputs=…",
    "_target_: os.system": "there is no option '_target_'",
    "dpeth: 5": "there is no option 'dpeth'; did you mean 'depth'?",
    "log: {evry: 5}": "log has one key: log.every",
    "study: ../elsewhere": "must be a plain name",
    "depth: !!python/object/apply:os.system [ls]": "cannot be read as YAML",
    "- a list": "is not a mapping",
    "depth: [": "cannot be read as YAML",
    "hydra: 5": "of hydra only",
    "hydra: {sweeper: 5}": "of hydra only",
    "hydra: {sweeper: {params: 5}}": "of hydra only",
    "hydra: {sweeper: {params: []}}": "of hydra only",
    "hydra: {sweeper: {params: [5]}}": "of hydra only",
    "hydra: {mode: MULTIRUN, sweeper: {params: [{activation: 'os:system'}]}}": "names a function",
    "hydra: {mode: MULTIRUN, sweeper: {params: [{dpeth: 5}]}}": "there is no option 'dpeth'",
    "hydra: {mode: MULTIRUN, sweeper: {params: [{seed: 'range(6000)'}, {seed: 'range(6000)'}]}}": "at most 10000",
    "defaults: 5": "is not '- override /group: option'",
    "clip: 5": "clip is chosen by an option's name",
    "clip: {name: [1]}": "clip is chosen by an option's name",
    "probes: {forward: 5}": "probes is chosen by an option's name",
    "log: 5": "log has one key: log.every",
    "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"{two}: &{two} [{','.join([f'*{one}'] * 9)}]\n"
        for one, two in zip("abcdefgh", "bcdefghi", strict=True)
    ): "too large or too deep",
    "depth: " + "[" * 60 + "]" * 60: "too large or too deep",
}


@pytest.mark.few(4)
@pytest.mark.parametrize(("text", "message"), HOSTILE.items())
def test_a_hostile_experiment_is_refused(written, text, message):
    with pytest.raises(RecipeError) as error:
        written(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_dir_adds_options_and_experiments(tmp_path):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "gentle.yaml").write_text("name: norm\nthreshold: 10.0\n")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "soft.yaml").write_text("# Soft?\ndefaults: [override /clip: gentle]\n")
    (recipe,) = composed("experiment=soft", config_dir=tmp_path).recipes
    later = {"thresholds": {}, "warmup": 0.0, "warmup_from": 10.0}
    assert recipe.clip == {"name": "norm", "threshold": 10.0, "p": 2.0, **later, "where": "gradient"}


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("norm", "name: norm\n", "gradlab already has an option of this name"),
        ("mine", "hydra: {}\n", "may not contain 'hydra'"),
        ("mine", "_target_: os.system\n", "may not contain '_target_'"),
        ("mine", "threshold: ${oc.env:HOME}\n", "resolvers"),
    ],
)
def test_a_hostile_option_of_a_folder_is_refused(tmp_path, name, text, message):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / f"{name}.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        composed("depth=3", config_dir=tmp_path)


def test_a_misspelt_group_of_a_config_dir_is_reported(tmp_path):
    (tmp_path / "activations").mkdir()
    (tmp_path / "activations" / "snake.yaml").write_text("name: snake\n")
    with pytest.raises(RecipeError, match="no group 'activations'; did you mean 'activation'"):
        composed("depth=3", config_dir=tmp_path)


def test_a_missing_config_dir_is_reported(tmp_path):
    with pytest.raises(RecipeError, match="there is no such folder"):
        composed("depth=3", config_dir=tmp_path / "none")


ANSWERS = {
    "optimizer_compare optimizer=sgd lr=0.1": "learning",
    "optimizer_compare optimizer=adam lr=0.001": "learned",
    "regularization_and_gradients initializer=xavier penalty=l2 dropout=0": "stalled",
    "regularization_and_gradients initializer=he penalty=none dropout=0": "learned",
    "residual_compare residual=plain normalization=none": "diverged",
    "residual_compare residual=rezero normalization=none": "learned",
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "verdict"), ANSWERS.items())
def test_a_study_s_answer_is_what_the_readme_says(tmp_path, words, verdict):
    run = gradlab.run(*f"experiment={words} seeds=1 outputs={tmp_path}".split())
    assert diagnose(run).training.verdict == verdict
