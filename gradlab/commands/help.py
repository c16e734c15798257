"""The texts of `gradlab --help` and `gradlab run --help`: commands, groups, keys and experiments of the folders."""

import textwrap

from gradlab.commands.registry import commands, flags
from gradlab.recipe import options
from gradlab.recipe.recipe import LISTED

EXAMPLES = """\
gradlab run model=mlp depth=50 clip=norm
gradlab run depth=50 clip=norm clip.threshold=0.5 lr=0.05 seeds=5
gradlab run -m depth=10,20,50 initializer=he,xavier seeds=3
gradlab run -m depth=10,20 lr=0.01,0.1 engine=local engine.workers=2 --time-limit 15m
gradlab run experiment=clipping_saves_training
gradlab run depth=30 activation=relu initializer=he normalization=layer --dry-run"""


def overview() -> str:
    """The text of `gradlab --help`."""
    lines = [f"  {name:<14}{summary}" for name, summary in commands().items()]
    return "\n".join(
        [
            "gradlab COMMAND …: does the gradient of this deep network vanish, explode or flow?",
            "",
            *lines,
            "",
            "  gradlab run model=mlp depth=50 clip=norm    a first run",
            "  gradlab COMMAND --help                      the arguments of a command",
            '  eval "$(gradlab --completion bash)"         complete commands, groups and keys with Tab',
        ]
    )


def run_help() -> str:
    """The text of `gradlab run --help`."""
    groups = options.groups()
    questions = {name: options.question(file) for name, file in options.experiments().items()}
    sections = {
        "Groups (* is the default)": {
            group: _starred(group, names) for group, names in groups.items() if group != "experiment"
        },
        "Keys": {key: f"{value:<10}{meaning}" for key, (value, meaning) in options.keys().items()},
        "Experiments (experiment=NAME)": questions,
        "Flags": {str(flag): flag.help for flag in flags("run")},
    }
    text = f"gradlab run [GROUP=OPTION …] [KEY=VALUE …]: {commands()['run']}\n"
    for title, rows in sections.items():
        text += f"\n{title}\n" + "".join(_row(name, meaning) for name, meaning in rows.items())
    text += "\nThe keys of an option are GROUP.KEY, as in clip.threshold=0.5; `--cfg job` prints them.\n"
    text += (
        "Clips one after the other: clip=[tensor_norm,norm] clips.norm.threshold=0.5 (docs/clipping.md).\n"
    )
    return text + "\nExamples\n" + textwrap.indent(EXAMPLES, "  ")


def _starred(group: str, names: list[str]) -> str:
    """The options of a group, with a star after the default; of probes also sets of them."""
    if group == "probe":
        sets = " ".join(
            f"{name}*" if name == "standard" else name for name in [*options.presets(), options.ALL]
        )
        return f"{sets}, or a list as probe=[standard,{names[0]}]: {' '.join(names)}, and each snapshot"
    if group in LISTED:
        return f"all, or a list as {group}=[{names[0]}]: {' '.join(names)}"
    default = options.default(group)
    return " ".join(f"{name}*" if name == default else name for name in names)


def _row(name: str, meaning: str) -> str:
    lines = textwrap.wrap(meaning, 78) or [""]
    head = f"  {name:<18}" if len(name) < 18 else f"  {name}\n{'':20}"
    return head + f"\n{'':20}".join(lines) + "\n"
