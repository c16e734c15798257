"""`probe=…`: probes of both kinds, sets of them, and which are left out where a network has nothing for them."""

import pytest
import yaml

from gradlab.commands.compose.probes import by_kind
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import folder_name
from tests.recipes import TINY, recipe

OWN = ["recurrent_spectrum", "attention"]
GROUPS = {"probe": ["forward", "rank"], "snapshot": OWN}


@pytest.mark.parametrize(
    ("choices", "probe", "snapshot", "optional"),
    [
        ({"probe": "rank"}, ["rank"], ["recurrent_spectrum"], []),
        ({"probe": ["rank", "attention"]}, ["rank"], OWN, []),
        ({"probe": "all"}, ["forward", "rank"], OWN, OWN),
        ({"probe": ["all", "attention"]}, ["forward", "rank"], OWN, ["recurrent_spectrum"]),
        ({"probe": "all", "snapshot": "attention"}, ["forward", "rank"], OWN[::-1], ["recurrent_spectrum"]),
        ({"probe": "rank", "snapshot": []}, ["rank"], [], []),
        ({"snapshot": "all"}, None, OWN, OWN),
        ({"probe": "economy"}, ["forward", "backward", "gradient"], [], []),
    ],
)
def test_each_name_goes_to_its_group(choices, probe, snapshot, optional):
    found = by_kind(choices, GROUPS)
    assert found.choices.get("probe") == probe
    assert found.choices["snapshot"] == snapshot
    assert [name for name in found.optional if name in OWN] == optional


def test_the_set_standard_is_the_default():
    assert folder_name(recipe(*TINY, "probe=standard")) == folder_name(recipe(*TINY))


@pytest.mark.parametrize("name", options.presets())
def test_every_set_composes(name):
    found = recipe(*TINY, f"probe={name}")
    assert found.probes
    assert found.snapshots.keys() <= set(options.groups()["snapshot"])


def test_sets_name_what_there_is():
    groups = options.groups()
    known = {*groups["probe"], *groups["snapshot"], options.ALL}
    assert options.presets().keys() == yaml.safe_load((CONF / "presets.yaml").read_text()).keys()
    assert all(set(names) <= known for names in options.presets().values())
    assert not options.presets().keys() & known


def test_a_key_of_a_snapshot_may_be_written_as_that_of_a_probe():
    words = ("probe=[standard,recurrent_spectrum]", "probes.recurrent_spectrum.every=8")
    assert recipe(*TINY, *words).snapshots["recurrent_spectrum"]["every"] == 8


@pytest.mark.parametrize(
    ("word", "meant"),
    [("standrd", "standard"), ("[standard,recurent_spectrum]", "recurrent_spectrum")],
)
def test_a_misspelt_probe_is_told_the_right_name(word, meant):
    with pytest.raises(RecipeError, match=f"did you mean '{meant}'"):
        recipe(*TINY, f"probe={word}")
