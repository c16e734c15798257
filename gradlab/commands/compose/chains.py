"""A list of clips, clip=[tensor_norm,norm], as the option `chain` with these clips in it."""

from typing import Any

from gradlab.commands.compose.composition import Choices, Compose, Values
from gradlab.commands.compose.spelling import Groups, require_option
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import is_import_path


def links(choice: Any) -> list[str]:
    """The names of a list of clips; of one clip, none.

    Raises:
        RecipeError: the list has fewer than two names, or one of them twice.
    """
    if not isinstance(choice, list):
        return []
    names = [str(name) for name in choice]
    if len(names) < 2:
        raise RecipeError(
            f"clip=[{','.join(names)}] must be two clips or more, as in clip=[tensor_norm,norm]"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"clip=[{','.join(names)}] has {', '.join(twice)} twice; give each a name of its own: clip=chain "
            f"'clip.clips={{first: {{name: {twice[0]}}}, second: {{name: {twice[0]}}}}}'"
        )
    return names


def chain(names: list[str], part: Values, choices: Choices, compose: Compose, groups: Groups) -> Values:
    """The option `chain`, `part`, with the clips of these names, each as Hydra composes it for one clip.

    Raises:
        RecipeError: for a name that is no option of the group.
    """
    clips: Values = {}
    for name in names:
        if is_import_path(name):
            clips[name.rpartition(":")[2].replace(".", "_")] = {"name": name}
            continue
        require_option("clip", name, groups)
        values = compose({**choices, "clip": name})["clip"]
        clips[name] = {key: value for key, value in values.items() if key != "where"}
    return {**part, "clips": clips}


def mappings(values: Values) -> list[str]:
    """The keys of the clip that are set as a whole: thresholds by pattern, and the clips of a chain."""
    clip = values.get("clip")
    parts = {"clip": clip} if isinstance(clip, dict) else {}
    if isinstance(clip, dict) and isinstance(clip.get("clips"), dict):
        parts |= {f"clip.clips.{name}": part for name, part in clip["clips"].items()}
    return [
        f"{place}.{key}"
        for place, part in parts.items()
        if isinstance(part, dict)
        for key in ("thresholds", "clips")
        if isinstance(part.get(key), dict)
    ]


def require_link(key: str, values: Values) -> None:
    """Check that a key of a clip of a chain, `clip.clips.norm.threshold`, is of one that is in the recipe.

    Raises:
        RecipeError: the clip is no chain, or has no clip of that name.
    """
    if not key.startswith("clip.clips."):
        return
    short, name = key.removeprefix("clip."), key.split(".")[2]
    clip = values.get("clip")
    names = clip.get("clips") if isinstance(clip, dict) else None
    if not isinstance(names, dict):
        chosen = clip.get("name") if isinstance(clip, dict) else clip
        raise RecipeError(
            f"'{short}' is of a clip in a list, as in clip=[{name},value]; this recipe has clip={chosen}"
        )
    if name not in names:
        raise RecipeError(f"'{short}': there is no {name} among the clips {', '.join(map(str, names))}")
