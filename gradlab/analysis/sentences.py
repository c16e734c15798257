"""What each result says in sentences; the numbers are those of the result, and nothing is computed from tables here."""

from collections import Counter
from collections.abc import Mapping, Sequence

from gradlab.analysis.gain import VERDICT_DECADES, Defect, Gain
from gradlab.analysis.results import (
    Diagnosis,
    Finding,
    ForeignDiagnosis,
    Sentences,
    SignalVerdict,
    TimeVerdict,
    TrainingVerdict,
)
from gradlab.analysis.score import Score
from gradlab.analysis.wording import (
    count_text,
    gain_texts,
    percent,
    short_number,
    signed_decades,
)

DEFECTS = ("overflow", "undefined", "underflow", "cut")  # the order in which they are told


def of_diagnosis(diagnosis: Diagnosis) -> Sentences:
    """The signal at the start, at the end if a step was taken, and the training.

    Of a recurrent network also the signal over time, of its last layer.
    """
    start, end = diagnosis.signal_start, diagnosis.signal_end
    lines: Sentences = []
    if start is not None and end is not None:
        lines = [("signal", start.sentence), *_last_layer(diagnosis.times_start)]
        if end.step > start.step:
            lines += [(f"at step {end.step}", end.sentence), *_last_layer(diagnosis.times_end)]
    elif isinstance(diagnosis, ForeignDiagnosis):
        lines = _of_weights(diagnosis)
    causes = [finding for finding in diagnosis.findings if finding.about == "cause"]
    return [
        *lines,
        ("training", diagnosis.training.sentence),
        *(("cause", of_cause(cause)) for cause in causes),
        *(("note", note) for note in (diagnosis.notes if isinstance(diagnosis, ForeignDiagnosis) else [])),
    ]


def _of_weights(diagnosis: ForeignDiagnosis) -> Sentences:
    """That the backward signal was not recorded, and what the weight gradients say, at the start and at the end."""
    start, end = diagnosis.weights_start, diagnosis.weights_end
    lines = [("signal", diagnosis.not_recorded)]
    if start is not None:
        lines.append(("weights", start.sentence))
    if start is not None and end is not None and end.step > start.step:
        lines.append((f"at step {end.step}", end.sentence))
    return lines


def _last_layer(verdicts: list[TimeVerdict]) -> Sentences:
    return [("over time", verdicts[-1].sentence)] if verdicts else []


# ---- the signal over depth


def of_signal(result: SignalVerdict, gain: Gain, unit: str, names: Mapping[int, str]) -> str:
    """flowing: −0.7 decades from layer 50 back to layer 1, gain 0.97 per layer (0.95–0.99); theory 0.96.

    `unit` is what the gain is per: layer or block; `names` those of the layers.
    """
    is_measured = gain.decades is not None or gain.gain is not None or "undecided" in result.words
    change = _change(result, gain, unit) if is_measured else ""
    defects = [_defects(kind, result, names) for kind in DEFECTS if kind in result.words]
    parts = [*defects, change] if result.verdict in DEFECTS else [change, *defects]
    if "rank collapse" in result.words:
        parts.append(
            f"but rank collapse: at layer {result.layers} examples differ in few directions (effective rank "
            f"{result.effective_rank:.1f}, of the inputs {result.effective_rank_before:.1f})"
        )
    return f"{result.verdict}: " + "; ".join(part for part in parts if part)


def _change(result: SignalVerdict, gain: Gain, unit: str) -> str:
    """−0.7 decades from layer 50 back to layer 1, gain 0.97 per layer (0.95–0.99); theory 0.96."""
    if gain.gain is None and gain.decades is not None:
        return f"{_decades(gain)}; {gain.note}"
    if gain.gain is None:
        return f"{gain.note}, so there is no depth over which the signal can change"
    if gain.decades is None:
        seeds = f", mean of {count_text(gain.seeds, 'seed')}" if result.seeds > 1 else ""
        return f"gain {short_number(gain.gain)} per {unit} over the layers that the signal reaches{seeds}"
    mean, *ends = gain_texts(gain.interval, gain.gain, *(gain.interval or ()))
    text = f"{_decades(gain)}, gain {mean} per {unit} ({'–'.join(ends) or gain.note})"
    if gain.shape and unit == "block":
        text += f", {gain.shape}"
    if gain.seeds < result.seeds:
        text += f", mean of {count_text(gain.seeds, 'seed')}"
    if result.gain_theory is not None:
        text += f"; theory {gain_texts(gain.interval, result.gain_theory)[0]}"
    return text


def _decades(gain: Gain) -> str:
    """−0.7 decades from layer 50 back to layer 1; with their interval where it makes the verdict uncertain."""
    interval = ""
    if gain.decades_interval is not None and _is_uncertain(gain):
        interval = f" (95 % interval {' to '.join(map(signed_decades, gain.decades_interval))})"
    return f"{signed_decades(gain.decades or 0.0)} decades{interval} from layer {gain.layers} back to layer 1"


def _is_uncertain(gain: Gain) -> bool:
    """Whether the decades are beyond the bound but their interval is not, which the reader must see."""
    if gain.decades is None or gain.decades_interval is None:
        return False
    low, high = gain.decades_interval
    return abs(gain.decades) > VERDICT_DECADES and low < VERDICT_DECADES and high > -VERDICT_DECADES


def _defects(kind: str, result: SignalVerdict, names: Mapping[int, str]) -> str:
    """In how many seeds the signal breaks in this way, and where."""
    defects = [defect for defect in result.defects if defect.kind == kind]
    text = "" if kind == result.verdict else f"{kind} "
    if result.seeds > 1:
        text += f"in {len(defects)} of {result.seeds} seeds "
    if defects[0].step > 0 and kind in ("overflow", "undefined"):
        steps = sorted({defect.step for defect in defects})
        text += f"at step{'s' if len(steps) > 1 else ''} {_range(steps)}, "
    if len({(defect.layer, defect.where) for defect in defects}) == 1:
        return text + _phrase(defects[0], names)
    grown = " after growing (exploding)" if any(defect.surely_grows for defect in defects) else ""
    return f"{text.rstrip(', ')}{grown} ({_distribution(defects)})"


MOST_PLACES = 8  # that a sentence lists


def _distribution(defects: Sequence[Defect]) -> str:
    """In how many seeds each layer is the one: `all units are dead: layer 1 in 7, layer 2 in 21`."""
    same_pass = len({defect.where for defect in defects}) == 1
    counts = Counter((defect.layer, _place(defect, same_pass)) for defect in defects)
    shown = sorted(counts.most_common(MOST_PLACES))
    parts = [f"{place} in {count}" for (_, place), count in shown]
    if others := len(defects) - sum(count for _, count in shown):
        parts.append(f"other layers in {others}")
    causes = {defect.cause for defect in defects}
    head = _CAUSES.get(causes.pop(), "") if len(causes) == 1 else ""
    if not head and same_pass and defects[0].where in _PASSES:
        head = f"first in the {_PASSES[defects[0].where]}"
    return (f"{head}: " if head else "") + ", ".join(parts)


def _place(defect: Defect, same_pass: bool = False) -> str:
    """`in the forward signal at layer 3`, or `layer 3` where the pass is said already; `in the loss`."""
    if defect.where == "loss":
        return "in the loss"
    return f"layer {defect.layer}" if same_pass else f"in the {_PASSES[defect.where]} at layer {defect.layer}"


_PASSES = {"forward": "forward signal", "backward": "backward pass"}
_CAUSES = {"dead units": "all units are dead", "zero weights": "all weights are zero"}


def _phrase(defect: Defect, names: Mapping[int, str]) -> str:
    """Where one seed's signal breaks, and why."""
    layer = defect.layer
    if defect.kind in ("overflow", "undefined"):
        return _not_finite(defect, names)
    if defect.kind == "underflow":
        return (
            f"the forward signal underflows at layer {layer} (it is too small for the number format), "
            "so the gradients from there on mean little"
        )
    if defect.where == "loss":
        return "the loss sends back an exact zero (its minimum is reached, or its softmax is saturated)"
    zero = "the forward signal is" if defect.where == "forward" else "the backward pass makes it"
    reason = f"{_CAUSES.get(defect.cause, f'{zero} exactly zero')} at layer {layer}"
    return (
        f"{reason}, so no gradient reaches the layers before it"
        if layer
        else f"{reason}, so no signal passes it"
    )


def _not_finite(defect: Defect, names: Mapping[int, str]) -> str:
    """`first in the forward signal at layer 12 (hidden 12), after growing by 25 decades; …`."""
    name = "" if defect.where == "loss" else f" ({names.get(defect.layer, '')})".replace(" ()", "")
    parts = [f"first {_place(defect)}{name}"]
    if defect.cause == "weights":
        parts.append("where the weights themselves are not finite")
    elif defect.cause == "large inputs":
        parts.append("because the inputs are that large already; standardize them")
    elif defect.cause == "sizes unknown":
        parts.append("whether after an overflow was not recorded: the forward signal is missing")
    elif defect.kind == "undefined":
        parts.append(
            "where numbers of ordinary size make a NaN or an infinity (0/0, 1/0, log 0, exp of more than 88)"
        )
    elif defect.growth is not None and defect.surely_grows:
        parts.append(
            f"after the signal has grown by {signed_decades(defect.growth).lstrip('+')} decades (exploding)"
        )
    if defect.where == "forward":
        parts.append("so the backward signal is undefined")
    return ", ".join(parts)


def _range(numbers: Sequence[int]) -> str:
    """3, or 3–17."""
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"


# ---- causes


def of_cause(finding: Finding) -> str:
    """saturated at the start: layers 3–20, up to 97 % of the activations."""
    layers = f"layer{'s' if len(finding.layers) > 1 else ''} {_ranges(finding.layers)}"
    numbers = finding.numbers
    if finding.word in ("saturated", "dead units"):
        what = "activations" if finding.word == "saturated" else "units"
        return f"{finding.word} at the {finding.at}: {layers}, up to {percent(numbers['largest'] or 0.0)} of the {what}"
    if finding.word == "clip never acts":
        return f"{finding.word}: the run trained as with clip=none"
    if finding.word == "clip always acts":
        return f"{finding.word}: the threshold and the learning rate set the size of each step"
    if finding.word == "adam hides a vanished gradient":
        return (
            f"{finding.word}: {signed_decades(numbers['decades'] or 0.0)} decades in the backward signal, but only "
            f"{signed_decades(numbers['update_decades'] or 0.0)} in the updates, from layer {finding.layers[-1]} to 1"
        )
    if finding.word == "edge of stability":
        return (
            f"{finding.word}: the loss's largest curvature stays at {numbers['ratio'] or 0.0:.2f} of what the learning "
            f"rate allows, over steps {finding.steps[0]}–{finding.steps[-1]}"
        )
    if finding.word == "noise dominates the gradient":
        scale, batch = (numbers[name] or 0.0 for name in ("noise_scale", "batch_size"))
        at_end = f"{finding.word} at step {finding.steps[-1]}"
        return f"{at_end}: its noise scale is {scale:.3g} examples, the batch has {batch:g}"
    if finding.word == "float16 would flush the gradient":
        share = percent(numbers["flushed"] or 0.0)
        return f"{finding.word}: {layers}, up to {share} of its nonzero entries (see gradlab precision)"
    ratio = f"‖ΔW‖/‖W‖ is {10.0 ** (numbers['log10_ratio'] or 0.0):.1e} in the median (usual: 1e-3)"
    lost = (
        f", {percent(numbers['lost'] or 0.0)} of the entries do not change" if "lost" in finding.word else ""
    )
    return f"{finding.word}: {layers}, {ratio}{lost}"


def _ranges(layers: Sequence[int]) -> str:
    """1–3, 7."""
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(_range(run) for run in runs)


# ---- the signal over time


def over_time(result: TimeVerdict) -> str:
    """vanishing: −7.2 decades from time step 150 back to 1, gain 0.89 per time step; it falls to a hundredth …"""
    last = result.times
    if result.decades is None or result.gain is None:
        return f"{result.verdict}: the signal reaches the last {result.reach} of {last} time steps"
    (gain,) = gain_texts(result.gain_interval, result.gain)
    decades = signed_decades(result.decades)
    text = f"{result.verdict}: {decades} decades from time step {last} back to 1, gain {gain} per time step"
    if result.reach < last - 1:
        text += f"; it falls to a hundredth within {result.reach + 1} time steps"
    return text


# ---- the training


def _clip(result: TrainingVerdict) -> list[str]:
    """the clip acted on 45 % of the steps (tensor_norm 40 %, norm 12 %); or how many updates it dropped."""
    shares = ", ".join(f"{name} {percent(share)}" for name, share in (result.clip_shares or {}).items())
    of_each = f" ({shares})" if shares else ""
    if result.dropped is None:
        share = result.clip_share
        return [] if share is None else [f"the clip acted on {percent(share)} of the steps{of_each}"]
    acted = [f"it acted on {percent(result.clip_share or 0.0)} of the steps{of_each}"] if shares else []
    if not result.dropped:
        return ["the clip dropped no update", *acted]
    if result.dropped < result.updates:
        return [f"the clip dropped {result.dropped} of {count_text(result.updates, 'update')}", *acted]
    return []


def of_training(
    result: TrainingVerdict, reason: str, details: Mapping[str, str], score: Score, total_steps: int
) -> str:
    """learned: loss 2.35 → 0.09, test accuracy 0.97 (chance level 0.10); the clip acted on 45 % of the steps.

    `reason` is why the verdict is what it is, where the losses do not show it; `details` the numbers of the words that
    are also true, of a single seed; `total_steps` those of the recipe.
    """
    verdict = result.verdict
    parts = [_losses(result, score) + _scores(result, score)]
    if reason:
        parts.insert(0 if verdict in ("diverged", "untrained") else 1, reason)
    if verdict == "diverged" and result.last_finite is not None:
        step, loss = result.last_finite
        of_seed = " of the seed that diverged first" if result.diverged > 1 else ""
        parts.append(f"the last finite minibatch loss{of_seed} is {short_number(loss)}, at step {step}")
    for word, count in result.additions.items():
        parts.append(f"{word}: {details[word]}" if details else f"{word} in {count_text(count, 'seed')}")
    parts += _clip(result)
    if result.overflows is not None:
        parts.append(f"loss scaling dropped {result.overflows} of {count_text(result.updates, 'update')}")
    if (result.stopped or verdict not in ("diverged", "untrained")) and result.steps < total_steps:
        why = f" ({result.stopped})" if result.stopped else ""
        parts.append(f"ended after {result.steps} of {count_text(total_steps, 'step')}{why}")
    return f"{_seed_counts(result)}: {'; '.join(parts)}"


def _seed_counts(result: TrainingVerdict) -> str:
    """The verdict; with several seeds also how many have it and what the others have."""
    if result.seeds == 1:
        return result.verdict
    others = [f"{word} in {count}" for word, count in result.counts.items() if word != result.verdict]
    first = f"{result.verdict} in {result.counts[result.verdict]} of {result.seeds} seeds"
    return ", ".join([first, *others])


def _losses(result: TrainingVerdict, score: Score) -> str:
    first, last = result.loss_first, result.loss_last
    chance = "" if result.chance_loss is None else f" (chance loss {short_number(result.chance_loss)})"
    if first is None:
        return f"no evaluated loss is finite{chance}"
    if result.steps == 0:
        return f"no step was taken; loss {short_number(first)}{chance}"
    # a surface, whose score is its loss, has no chance loss
    if result.verdict == "learned" or score.name == "loss":
        chance = ""
    return f"loss {short_number(first)} → {'not finite' if last is None else short_number(last)}{chance}"


def _scores(result: TrainingVerdict, score: Score) -> str:
    """`, test accuracy 0.97 (chance level 0.10)`; with the score on the training set where it is far from it."""
    text = ""
    if result.train_score is not None and {"memorized", "overfits"} & {*result.words}:
        text += f", training {score.label} {result.train_score:.2f}"
    if result.test_score is not None and score.name != "loss":
        chance = "" if score.chance_level is None else f" (chance level {score.chance_level:.2f})"
        text += f", test {score.label} {result.test_score:.2f}{chance}"
    return text
