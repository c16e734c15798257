"""What help says: the commands, and for `run` every group, key and experiment, read from the folders."""

import textwrap

from gradlab.recipe import options

COMMANDS = {
    "run": "train a network or a grid of them, measure every layer, draw it, say what it sees",
    "plot": "draw the figures of runs again, or in another format",
    "compare": "several runs in one picture and one table, by what differs",
    "diagnose": "say whether gradients vanish, explode or flow, as text or JSON",
    "suggest-clip": "from recorded norms: what any clip threshold would have done, and which to take",
    "lr-find": "from one run in which the learning rate rises: which rates make the loss fall",
    "ls": "list the runs of a folder with state, verdict and score",
}
FLAGS = {
    "-m, --multirun": "run every combination of the lists: depth=10,20 clip=none,norm",
    "--cfg job": "print the composed recipe and stop",
    "--dry-run": "print the grid and what it would cost, and stop",
    "--force": "run again what is finished",
    "--quiet": "say nothing but errors",
    "--fail-on WORDS": "exit code 1 if a verdict is one of vanishing,exploding,diverged,…",
    "--config-dir DIR": "a folder like conf/ with options of your own",
}
EXAMPLES = """\
gradlab run model=mlp depth=50 clip=norm
gradlab run depth=50 clip=norm clip.threshold=0.5 lr=0.05 seeds=5
gradlab run -m depth=10,20,50 initializer=he,xavier seeds=3
gradlab run experiment=clipping_saves_training
gradlab run depth=30 activation=relu initializer=he normalization=layer --dry-run"""


def overview() -> str:
    """`gradlab --help`."""
    lines = [f"  {name:<14}{what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "gradlab COMMAND …: does the gradient of this deep network vanish, explode or flow?",
            "",
            *lines,
            "",
            "  gradlab run model=mlp depth=50 clip=norm    the first thing to try",
            "  gradlab COMMAND --help                      what a command takes",
            '  eval "$(gradlab --completion bash)"         Tab completes commands, groups and keys',
        ]
    )


def run_help() -> str:
    """`gradlab run --help`."""
    found = options.groups()
    questions = {name: options.question(file) for name, file in options.experiments().items()}
    sections = {
        "Groups": {group: _starred(group, names) for group, names in found.items() if group != "experiment"},
        "Numbers": {key: f"{value:<10}{why}" for key, (value, why) in options.keys().items()},
        "Experiments (experiment=NAME)": questions,
        "Flags": FLAGS,
    }
    text = "gradlab run [GROUP=OPTION …] [KEY=VALUE …]: " + COMMANDS["run"] + "\n"
    for title, rows in sections.items():
        text += f"\n{title}\n" + "".join(_row(name, what) for name, what in rows.items())
    text += "\nAn option's own numbers are GROUP.KEY, as in clip.threshold=0.5; `--cfg job` shows them.\n"
    return text + "\nExamples\n" + textwrap.indent(EXAMPLES, "  ")


def _starred(group: str, names: list[str]) -> str:
    """The options, the default one marked."""
    usual = options.default(group)
    return " ".join(f"{name}*" if name == usual else name for name in names)


def _row(name: str, what: str) -> str:
    lines = textwrap.wrap(what, 78) or [""]
    head = f"  {name:<18}" if len(name) < 18 else f"  {name}\n{'':20}"
    return head + f"\n{'':20}".join(lines) + "\n"
