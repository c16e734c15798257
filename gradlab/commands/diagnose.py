"""`gradlab diagnose PATH…`: what stored runs show, in sentences or as JSON."""

import json
import sys

from gradlab.commands.arguments import Arguments, path_arguments, words


def arguments() -> Arguments:
    """What `gradlab diagnose` takes."""
    parser = path_arguments("diagnose", "gradlab diagnose outputs/default --fail-on vanishing,diverged")
    parser.add_argument(
        "--json", action="store_true", help="a list with one object a run, all numbers included"
    )
    parser.add_argument(
        "--fail-on", type=words, default=[], metavar="WORDS", help="exit code 1 on these verdicts"
    )
    return parser


def main(argv: list[str]) -> int:
    """Print the verdicts of every run at or below the paths; exit code 1 if one is among --fail-on."""
    asked = arguments().parse_args(argv)
    from gradlab.analysis.verdicts import diagnose, failed, sentences
    from gradlab.store.read import collect

    found = [diagnose(run) for run in collect(asked.paths)]
    unwanted = {one["run"]: failed(one, asked.fail_on) for one in found}
    if asked.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for one in found:
            told = [f"  {name:<11} {sentence}" for name, sentence in sentences(one)]
            print("\n".join([f"{one['run']} ({one['state']})", *told]))
    for name, said in unwanted.items():
        if said:
            print(f"gradlab diagnose: --fail-on: {name} is {', '.join(said)}", file=sys.stderr)
    return 1 if any(unwanted.values()) else 0
