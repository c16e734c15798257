"""clip=[tensor_norm,norm]: from the words to the recipe, its name and its header; what a run says of it afterwards."""

import numpy as np
import pytest

from gradlab.analysis.clip_advice import advise
from gradlab.analysis.verdicts import diagnose
from gradlab.commands.compose.grid import grid
from gradlab.commands.help import run_help
from gradlab.engine.prepare import prepare
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name, option_label, plain, structure
from gradlab.report.summary import describe
from gradlab.store.read import open_run
from tests.recipes import launch, tiny

CHAIN = "clip=[tensor_norm,norm]"
PLAIN = {"thresholds": {}, "warmup": 0.0, "warmup_from": 10.0}


def composed(*words, **options):
    return grid(["depth=2", *words], **options).recipes


def single(*words):
    (recipe,) = composed(*words)
    return recipe


def test_the_clips_of_a_list_have_their_defaults_and_numbers():
    recipe = single(CHAIN, "clips.tensor_norm.threshold=0.5", "clip.clips.norm.p=1", "clip.where=update")
    assert recipe.clip == {
        "name": "chain",
        "clips": {
            "tensor_norm": {"name": "tensor_norm", "threshold": 0.5, **PLAIN},
            "norm": {"name": "norm", "threshold": 1.0, "p": 1.0, **PLAIN},
        },
        "where": "update",
    }


def test_the_order_counts_and_a_threshold_is_a_number():
    one, other, larger = (
        single(*words)
        for words in ((CHAIN,), ("clip=[norm,tensor_norm]",), (CHAIN, "clips.norm.threshold=2"))
    )
    assert len({folder_name(recipe) for recipe in (one, other, larger)}) == 3
    assert folder_name(one).startswith("mlp-d2-tanh-orthogonal-clip_tensor_norm_norm-")
    assert structure(one) == structure(larger)
    assert structure(one) != structure(other)


def test_so_does_the_order_of_thresholds_by_pattern():
    patterns = ("{*/bias: 2, hidden *: 1}", "{hidden *: 1, */bias: 2}")
    first, second = (single("clip=norm", f"clip.thresholds={text}") for text in patterns)
    assert folder_name(first) != folder_name(second)
    assert structure(first) != structure(second)


def test_a_grid_of_lists_and_their_numbers():
    assert [
        option_label(recipe.clip) for recipe in composed("clip=[norm,value],none,agc", multirun=True)
    ] == [
        "norm,value",
        "none",
        "agc",
    ]
    recipes = composed(
        "clip=[norm,value]", "clips.norm.threshold=0.5,1", "clips.value.threshold=2", multirun=True
    )
    assert [recipe.clip["clips"]["norm"]["threshold"] for recipe in recipes] == [0.5, 1.0]
    assert {recipe.clip["clips"]["value"]["threshold"] for recipe in recipes} == {2.0}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("clip=norm",), "mlp-d3-tanh-orthogonal-clip_norm-37ec4fb2"),
        (("clip=value", "clip.threshold=0.3"), "mlp-d3-tanh-orthogonal-clip_value-b3f20037"),
        (("clip=skip",), "mlp-d3-tanh-orthogonal-clip_skip-3130b700"),
        (("clip=agc", "clip.where=update"), "mlp-d3-tanh-orthogonal-clip_agc-612f7deb"),
    ],
)
def test_runs_stored_before_are_found_by_their_names(words, name):
    """The names that these recipes had before there were thresholds by pattern and warm-ups."""
    (recipe,) = grid(["depth=3", "width=8", *words]).recipes
    assert folder_name(recipe) == name
    assert folder_name(grid(["depth=3", "width=8", *words, "clip.warmup=5"]).recipes[0]) != name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("clip=[norm]",), "clip=[norm] must be two clips or more"),
        (("clip=[norm,norm]",), "has norm twice; give each a name of its own"),
        (("clip=[norm,nrm]",), "there is no clip 'nrm'; did you mean 'norm'?"),
        (("clip=[norm,none]",), "clip=none cannot be one of several"),
        (("clip=norm", "clips.norm.threshold=1"), "this recipe has clip=norm"),
        ((CHAIN, "clips.agc.threshold=1"), "there is no agc among the clips tensor_norm, norm"),
        ((CHAIN, "clips.norm.treshold=1"), "did you mean 'clip.clips.norm.threshold'?"),
        ((CHAIN, "clips.norm.threshold=-1"), "clip.clips.norm.threshold=-1.0 must be a number above 0"),
        (
            ("clip=norm", "clip.thresholds={hidden *: 0}"),
            "clip.thresholds.hidden *=0.0 must be a number above 0",
        ),
        (
            ("clip=autoclip", "clip.thresholds={hidden *: 1}"),
            "there is no option 'clip.thresholds' for clip=autoclip",
        ),
        (("clip=norm", "clip.warmup_from=0"), "clip.warmup_from=0.0 must be a number from 1e-06"),
        (("clip=value", "clip.low=-1", "clip.high=1", "clip.warmup=9"), "clip.warmup changes nothing with"),
    ],
)
def test_bad_words_get_one_line(words, message):
    with pytest.raises(RecipeError) as error:
        single(*words)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("clip=norm", "clip.thresholds={hiden *: 1}"), "clip.thresholds"),
        ((CHAIN, "clips.norm.thresholds={hiden *: 1}"), "clip.clips.norm.thresholds"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(words, key):
    with pytest.raises(RecipeError) as error:
        _ = prepare(single(*words)).layout
    assert str(error.value).startswith(f"{key}: 'hiden *' matches no parameter; ")


def experiment(tmp_path, text):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(f"# Why?\n{text}", "utf-8")
    return composed("experiment=mine", config_dir=tmp_path)


def test_an_experiment_has_lists_in_its_grid(tmp_path):
    text = "hydra: {mode: MULTIRUN, sweeper: {params: {clip: '[value,norm],none'}}}\n"
    assert [option_label(recipe.clip) for recipe in experiment(tmp_path, text)] == ["value,norm", "none"]


def test_an_experiment_has_no_list_in_its_defaults(tmp_path):
    with pytest.raises(RecipeError, match=r"are chosen in the grid, clip: '\[value,norm\]'"):
        experiment(tmp_path, "defaults: [{override /clip: [value, norm]}]\n")


def test_an_experiment_names_no_function_in_a_chain(tmp_path):
    clips = "{norm: {name: norm, threshold: 1.0}, mine: {name: 'os:system'}}"
    with pytest.raises(RecipeError, match="clip=os:system names a function, which an experiment may not"):
        experiment(tmp_path, f"defaults: [override /clip: chain]\nclip: {{clips: {clips}}}\n")


def test_options_and_functions_of_a_user_stand_in_a_list(tmp_path, monkeypatch):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "gentle.yaml").write_text("name: norm\nthreshold: 10.0\n", "utf-8")
    (tmp_path / "halving.py").write_text(
        "from gradlab.parts.clips.contract import stateless\n\n\ndef half(factor: float = 0.5):\n"
        "    return stateless(lambda g, params, axes: ({k: factor * v for k, v in g.items()}, {'clipped': 1.0}))\n",
        "utf-8",
    )
    monkeypatch.chdir(tmp_path)
    words = ("clip=[gentle,halving:half]", "clips.half.factor=0.25")
    (recipe,) = composed(*words, config_dir=tmp_path)
    assert recipe.clip["clips"] == {
        "gentle": {"name": "norm", "threshold": 10.0, "p": 2.0, **PLAIN},
        "half": {"name": "halving:half", "factor": 0.25},
    }


def test_the_header_names_each_clip_with_its_threshold():
    header = lambda *words: describe(plain(single(*words)))
    assert " · clip tensor_norm 0.5, then norm 1.0 · " in header(CHAIN, "clips.tensor_norm.threshold=0.5")
    assert " · clip tensor_norm 1.0, then norm 1.0 where update · " in header(CHAIN, "clip.where=update")
    text = header("clip=norm", "clip.thresholds={output/*: 2}", "clip.warmup=100")
    assert " · clip norm 1.0 warmup 100.0 (output/* 2) · " in text
    assert "clip=[tensor_norm,norm]" in run_help()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose first clip acts at all steps and whose second one acts at none."""
    words = ("clips.tensor_norm.threshold=0.01", "clips.norm.threshold=50", "probe=[forward,backward]")
    outcome = launch(tiny(tmp_path_factory.mktemp("runs"), CHAIN, *words, "snapshot=[]"))
    return open_run(outcome.folder)


def test_each_clip_has_its_column(run):
    steps = run.steps[run.steps.learning_rate.notna() & (run.steps.source == "batch")]
    assert (steps.clipped_norm == 0).all()
    assert (steps.clipped_tensor_norm > 0).all()
    np.testing.assert_allclose(steps.clipped, steps.clipped_tensor_norm / 2, rtol=1e-6)
    assert (steps.log10_clipped < steps.log10_unclipped).all()


def test_the_verdict_tells_how_often_each_acted(run):
    training = diagnose(run).training
    assert training.clip_share == 1
    assert training.clip_shares == {"tensor_norm": 1.0, "norm": 0.0}
    assert "the clip acted on 100 % of the steps (tensor_norm 100 %, norm 0 %)" in training.sentence


def test_the_readers_name_the_clips(run):
    assert run.choices["clip"] == "tensor_norm,norm"
    own = advise(run).own
    assert (own.clip, own.threshold, own.clipped) == ("tensor_norm,norm", 50.0, 1.0)
