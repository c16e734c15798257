"""A run in a terminal: how far it is, its numbers, verdicts so far, the profile over depth, and depth × step."""

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from gradlab.analysis.wording import percent
from gradlab.report.study_table import duration
from gradlab.report.summary import describe
from gradlab.report.watch.drawing import Space, bar, fitted, profile_lines
from gradlab.report.watch.followed import Seen
from gradlab.report.watch.heat_map import PLAIN_SHADES, SHADES, heat_map, scale
from gradlab.report.wrapping import lines_of

SHADE_STYLES = ("blue", "cyan", "green", "magenta", "red")
LOW = 28  # lines, below which a view leaves out the start of the training
LEAST_MAP, MOST_MAP, LEAST_PROFILE, MOST_PROFILE = 3, 16, 3, 6  # lines
BAR = 20  # characters


def run_view(seen: Seen, space: Space, now: float) -> RenderableType:
    """The whole view; `now` in seconds of the system's clock. What does not fit in height is left out."""
    is_low = space.height < LOW
    gap = [] if is_low else [Text()]
    head = [*wrapped("", title(seen), space.width)[:2], *gap, _bar_line(seen, space, now)]
    head += wrapped("numbers", " · ".join(numbers(seen)), space.width) if numbers(seen) else []
    said = [entry for entry in sentences(seen) if not (is_low and entry[0] == "signal" and seen.done)]
    lines = [*head, *(line for entry in said for line in wrapped(*entry, space.width)), *gap]
    room = space.height - len(lines)
    if seen.profiles and room >= LEAST_PROFILE + 3:
        height = MOST_PROFILE if room >= 22 else min(4, max(LEAST_PROFILE, room - LEAST_MAP - 5))
        lines += [Text(_profile_heading(seen), style="bold"), *profile_lines(seen.profiles, space, height)]
        room -= height + 3
    if seen.history.steps and room >= LEAST_MAP + 2:
        lines += _map_lines(seen, space, min(room - 2, MOST_MAP))
    return Group(*(fitted(line, space.width) for line in lines))


def title(seen: Seen) -> str:
    """The run's name and what it trains."""
    return f"{seen.run.name}: {describe(seen.run.recipe, seen.run.status.get('used'))}"


def wrapped(name: str, sentence: str, width: int) -> list[Text]:
    """A sentence behind its name, in lines."""
    lines = [Text(line) for line in lines_of(name, sentence, width)]
    if name and lines:
        lines[0].stylize("bold", 0, len(name))
    return lines


def standing(seen: Seen, now: float) -> str:
    """`running · 230/500 steps · 12 s elapsed, about 14 s left`, or `compiling … 4 s`."""
    seconds, left = seen.seconds(now), seen.seconds_left(now)
    elapsed = "" if seconds is None else f"{duration(seconds)}"
    if seen.is_compiling:
        return f"compiling … {elapsed}"
    count = f"{seen.done} steps" if seen.total is None else f"{seen.done}/{seen.total} steps"
    time = f"{elapsed} elapsed" if elapsed else ""
    if left is not None and not seen.is_over:
        time += f", about {duration(left)} left"
    return " · ".join(filter(None, [seen.state, count, time]))


def numbers(seen: Seen) -> list[str]:
    """Loss of the newest mini-batches, the score of the newest evaluation, and how often the clip acted."""
    words = []
    if loss := seen.last("loss"):
        broken = f" (not finite in {loss[1]} of {seen.seeds} seeds)" if loss[1] and seen.seeds > 1 else ""
        words.append(f"loss {loss[0]:.3g}{broken}")
    label, scores = seen.scores()
    if scores:
        words.append(f"{label} " + ", ".join(f"{part} {value:.2f}" for part, value in scores.items()))
    share = seen.verdicts.training.clip_share if seen.verdicts else None
    if share is not None and seen.run.recipe.get("clip", {}).get("name") != "none":
        words.append(f"clip acted on {percent(share)} of steps")
    return words


def sentences(seen: Seen) -> list[tuple[str, str]]:
    """The verdicts so far in sentences, and what status.json says of the end of a run."""
    lines = []
    if (verdicts := seen.verdicts) is not None:
        start, end = verdicts.signal_start, verdicts.signal_end
        lines += [("signal", start.sentence)] if start else []
        if start and end and end.step > start.step:
            lines.append((f"at step {end.step}", end.sentence))
        lines.append(("training", verdicts.training.sentence))
    if seen.state == "killed":
        how = "" if seen.run.is_foreign else "; run the same command again to continue"
        lines.append(("killed", f"its process is gone{how}"))
    elif message := seen.run.status.get("message"):
        lines.append(("note", message))
    return lines


def words_so_far(seen: Seen) -> str:
    """`vanishing, stalled`: the verdict on the newest signal, and on the training."""
    if (verdicts := seen.verdicts) is None:
        return ""
    signal = verdicts.signal_end.verdict if verdicts.signal_end else ""
    return ", ".join(filter(None, [signal, verdicts.training.verdict]))


def _bar_line(seen: Seen, space: Space, now: float) -> Text:
    text = standing(seen, now)
    if seen.total is None or cell_len(text) + 8 > space.width:
        return Text(text, style="bold")
    width = min(BAR, space.width - cell_len(text) - 1)
    return Text(f"{bar(seen.done, seen.total, width, space.plain)} {text}", style="bold")


def _profile_heading(seen: Seen) -> str:
    of_seed = f", seed {seen.seed} of {seen.seeds} seeds" if seen.seeds > 1 else ""
    return f"over depth at step {seen.profile_step}{of_seed}, log axis"


def _map_lines(seen: Seen, space: Space, height: int) -> list[Text]:
    total = seen.total if seen.total is not None else seen.history.steps[-1]
    heading = f"backward signal, layer × step: {scale(seen.history, space.plain)}"
    shades = PLAIN_SHADES if space.plain else SHADES
    lines = [Text(heading.replace("×", "x") if space.plain else heading, style="bold")]
    for line in heat_map(seen.history, total, space.width, height, space.plain):
        text = Text(line)
        edge = max(line.find("│"), line.find("|")) + 1
        for index, character in enumerate(line[edge:] if edge else "", edge):
            if character in shades:
                text.stylize(SHADE_STYLES[shades.index(character)], index, index + 1)
        lines.append(text)
    return lines
