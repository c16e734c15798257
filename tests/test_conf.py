"""conf/ and the code agree: every default is in a file, every file has its maker, every maker its file."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gradlab.engine.families import FAMILIES
from gradlab.launch.engines.contract import engine
from gradlab.measurements.probe import probe
from gradlab.measurements.snapshot import snapshot
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import BOUNDS, LISTED, Recipe, flat

ALL = FAMILIES | {"probe": probe, "snapshot": snapshot, "engine": engine}
FILES = sorted(CONF.glob("*/*.yaml"))
MAKERS = [(family, name) for family, made in ALL.items() for name in made.makers]


def content(path: Path) -> dict:
    return OmegaConf.to_container(OmegaConf.load(path))  # "1e-5" is text to YAML itself


def part(path: Path) -> dict:
    """What a file says of its part, wherever in the recipe it puts it."""
    values = content(path)
    return values.get(path.parent.name, values)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_has_its_maker_and_its_maker_s_keys_within_bounds(path):
    family, given = ALL[path.parent.name], part(path)
    if ":" in given["name"]:  # stands for the functions of a library, which have their own defaults
        assert given == {"name": family.check(given)["name"]}
        assert given["name"].startswith(f"{path.stem}:")
        return
    assert given["name"] == path.stem
    if "phases" in given:  # filled with the defaults of their optimizers when composed
        given = {
            **given,
            "phases": [{**part(path.with_stem(one["optimizer"])), **one} for one in given["phases"]],
        }
        given["phases"] = [
            {key: value for key, value in one.items() if key != "name"} for one in given["phases"]
        ]
    assert family.common_defaults.keys() - given.keys() <= {"optional"}
    common = {key: value for key, value in family.common_defaults.items() if key in given}
    assert common | family.check(given) == given  # the very types: 1.0, not 1


@pytest.mark.parametrize(("family", "name"), MAKERS)
def test_a_maker_has_its_file(family, name):
    assert (CONF / family / f"{name}.yaml").is_file()


@pytest.mark.parametrize(("family", "name"), MAKERS)
def test_a_maker_has_no_defaults(family, name):
    signature = inspect.signature(ALL[family].makers[name])
    assert all(value.default is value.empty for value in signature.parameters.values())


@pytest.mark.parametrize("path", sorted(CONF.glob("model/*.yaml")), ids=lambda path: path.stem)
def test_a_model_s_file_sets_root_keys_only_beside_its_part(path):
    others = {key: value for key, value in content(path).items() if key not in ("model", "defaults")}
    assert {"depth", "width"} <= others.keys() <= BOUNDS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_option_chooses_parts_only_of_groups_that_stand_before_its_own(path):
    """Hydra overrides what it has seen already."""
    order = [next(iter(one)) for one in content(CONF / "config.yaml")["defaults"] if one != "_self_"]
    chosen = [next(iter(one)).removeprefix("override /") for one in content(path).get("defaults", [])]
    before = order[: order.index(path.parent.name)]
    assert set(chosen) <= set(before)
    assert not chosen or path.read_text("utf-8").startswith("# @package _global_\n")


@pytest.mark.parametrize("path", sorted(CONF.glob("probe/*.yaml")), ids=lambda path: path.stem)
def test_a_probe_s_file_goes_to_the_list_of_probes(path):
    assert path.read_text("utf-8").startswith(f"# @package probes.{path.stem}\n")


def test_a_root_key_has_a_bound_and_a_bound_has_a_root_key():
    values = content(CONF / "config.yaml")
    defaults = values.pop("defaults")
    assert flat(values).keys() | {"lr_factors"} == BOUNDS.keys()
    groups = [next(iter(one)) for one in defaults if one != "_self_"]
    assert groups == [
        *(name for name in FAMILIES if name != "model"),
        *LISTED,
        "engine",
        "model",
        "experiment",
    ]


def test_a_recipe_s_fields_are_the_families_and_the_root_keys():
    roots = {key.partition(".")[0] for key in BOUNDS}
    assert {field.name for field in fields(Recipe)} == {*FAMILIES, *LISTED.values(), *roots}


def test_the_families_are_the_folders():
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == ALL.keys()


def test_every_line_of_the_root_tells_what_it_is_for():
    body = (CONF / "config.yaml").read_text("utf-8").partition("\n\n")[2].splitlines()
    silent = [line for line in body if line.strip() and "#" not in line and not line.endswith(":")]
    assert silent == []
