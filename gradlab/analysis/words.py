"""Every word that a verdict may use: its rule, its formula, where it comes from, and when it misleads.

These are the texts of docs/verdicts.md, of `gradlab explain WORD` and of `gradlab diagnose --json`. The order of each
table is the order in which its rules are asked: of several words that hold, the first is the verdict.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gradlab.recipe.errors import RecipeError, hint


@dataclass(frozen=True)
class Word:
    """What a word says, and what it rests on."""

    rule: str
    formula: str  # in the columns of the stored tables
    source: str  # who found it, or where the bound comes from
    misleads: str  # its known false positives, and what it does not see


_DECADES = "D = log10_backward(1) − log10_backward(L), over the hidden layers 1…L"
_DECADES_SOURCE = (
    "Glorot and Bengio 2010, Pascanu et al. 2013 (the effect); a factor of 20 = e³ is gradlab's bound"
)
_SIZES = "sizes before the layer: log10_forward(0…l−1), log10_weight(0…l), the inputs' RMS"

SIGNAL = {
    "overflow": Word(
        "A forward signal, the loss or a gradient becomes infinite or NaN where the numbers before it are "
        "large (beyond 1e12; in float64 beyond 1e100), so that a product or a square of them leaves the "
        "number format. The backward signal of such a step is undefined.",
        f"log10_forward(l) is +inf or NaN, and one of the {_SIZES} is ≥ 12; likewise backward from layer L + 1",
        "IEEE 754: the largest float32 is 3.4e38",
        "A function with a pole, met by large numbers, is called an overflow too.",
    ),
    "undefined": Word(
        "A forward signal, the loss or a gradient becomes infinite or NaN although all numbers before it are "
        "of ordinary size: 0/0, 1/0, the logarithm of 0, exp of a number above 88, or a function that has no "
        "value there.",
        f"log10_forward(l) is +inf or NaN, and all of the {_SIZES} are < 12; likewise backward from layer L + "
        "1",
        "IEEE 754: invalid operation and division by zero",
        "With log.every > 1 the step itself may not be recorded: then the weights are NaN already and the "
        "layer is only the first one that uses them.",
    ),
    "underflow": Word(
        "The forward signal is exactly zero at a layer although it was below 1e-20, and not zero, at the "
        "layer before: it became too small for the number format, and the gradients from there on mean "
        "little.",
        "log10_forward(l) = −inf and −inf < log10_forward(l−1) < −20",
        "IEEE 754: the smallest normal float32 is 1.2e-38, and XLA takes smaller ones for zero on CPU",
        "A layer whose units all die just where the signal has become that small is called underflow.",
    ),
    "cut": Word(
        "The backward signal is exactly zero at some layer, so no gradient reaches the layers before it: the "
        "weights are zero, all units are dead, or the loss itself sends back zeros.",
        "log10_backward(l) = −inf for some l; the layer to blame is the first with log10_forward = −inf, else"
        " the block that receives a gradient and passes on none",
        "Lu et al. 2019 (dying ReLU)",
        "A loss that is exactly at its minimum, or a softmax that is right beyond the number format, sends "
        "back zeros: then nothing is broken, and the sentence says that it is the loss.",
    ),
    "exploding": Word(
        "The 95 % interval of the decades lies above +1.30: the backward signal becomes at least 20 times "
        "larger from the last hidden layer back to the first. Where an overflow leaves no backward signal, "
        "the same of the layers before it, on the way forward.",
        f"{_DECADES}; t-interval on its differences, or over three seeds and more; exploding if D_low > "
        "log10(20)",
        _DECADES_SOURCE,
        "BatchNorm before relu explodes by 1.2 per layer at the start, and trains nevertheless (Yang et al. "
        "2019). Fewer than three layers have no interval, and D is taken as it is.",
    ),
    "vanishing": Word(
        "The 95 % interval of the decades lies below −1.30: the backward signal becomes at least 20 times "
        "smaller from the last hidden layer back to the first.",
        f"{_DECADES}; t-interval on its differences, or over three seeds and more; vanishing if D_high < "
        "−log10(20)",
        _DECADES_SOURCE,
        "A fitted network may lose decades because few examples still have a loss. Adam and other optimizers "
        "that divide by the gradient's size train through a vanished gradient until rounding ends it.",
    ),
    "flowing": Word(
        "Neither vanishing nor exploding: the 95 % interval of the decades reaches into the range from −1.30 "
        "to +1.30.",
        f"{_DECADES}; flowing if D_low ≤ log10(20) and D_high ≥ −log10(20)",
        _DECADES_SOURCE,
        "With few layers and an uneven profile the interval is wide; the sentence then gives it. It says "
        "nothing of the size of the gradient, only of its change over depth.",
    ),
    "undecided": Word(
        "The network has at most one hidden layer, so there is no depth over which the signal could change.",
        "L ≤ 1",
        "by definition",
        "It does not mean that the gradient is of a good size.",
    ),
    "rank collapse": Word(
        "An addition to flowing: the outputs of the last hidden layer, less their mean over examples, have an"
        " effective rank below 2, and at most a fifth of the inputs': examples differ in one direction only. "
        "Not told at the end of a training that learned.",
        "effective_rank(L) < 2 and ≤ effective_rank(inputs)/5, (Σ λ)²/Σ λ² of the covariance's eigenvalues "
        "over the examples of a batch; of tokens, that of layer 0 in the place of the inputs",
        "Daneshmand et al. 2020; Schoenholz et al. 2017 (all examples become one)",
        "Inputs of few dimensions have a low rank from the start, and no collapse is seen. A trained "
        "classifier of c classes needs c − 1 directions (Papyan et al. 2020), so one that is close to learned"
        " may look collapsed.",
    ),
}

TRAINING = {
    "untrained": Word(
        "No step was taken, or the clip dropped every update.",
        "steps = 0, or clipped = 1 in every row of a clip that drops steps",
        "by definition",
        "nothing known",
    ),
    "diverged": Word(
        "The loss or the gradient of a step that was used became non-finite; or the last training loss is "
        "more than twice the larger of the first loss and the chance loss.",
        "loss or log10_gradient is inf or NaN (but for a step that the clip dropped); or train_loss(T) > "
        "2·max(train_loss(0), chance loss)",
        "the factor 2 is gradlab's",
        "A run that ends within a spike of the loss counts as diverged. Of a run whose clip drops steps, the "
        "loss is that of the minibatches that were used.",
    ),
    "learned and lost it": Word(
        "An earlier evaluation counted as learned, the last one does not, and the training loss is more than "
        "twice its lowest value.",
        "learned at some evaluation, not at T, and train_loss(T) > 2·min train_loss",
        "the factor 2 is gradlab's",
        "A run that ends within a spike of the loss; more steps tell.",
    ),
    "oscillating": Word(
        "With the same gradient at each step (the batch is the whole training set, without dropout) the loss "
        "goes up and down, or stays, over the last half of the steps, although the steps are large enough to "
        "change it; and in that half it was not always as low as learned demands.",
        "over the last half: mean |ℓ(t+1) − ℓ(t)| ≥ 0.05·mean ℓ, and at least the fall of ℓ from the first to"
        " the last third of it; or ℓ is constant to 0.1 % while ‖∂L/∂θ‖·‖Δθ‖ ≥ 0.05·ℓ",
        "a step beyond 2/curvature overshoots: the descent lemma (Nesterov 2004); Cohen et al. 2021",
        "Training at the edge of stability fluctuates too; it is not called oscillating while the loss falls."
        " Minibatch training is never called so: its noise looks the same.",
    ),
    "learned": Word(
        "The last training loss is below the chance loss, and the score on the training set is at least half-"
        "way from chance level to perfect and at least two sampling errors above chance level. A language "
        "model needs at most 0.8 of the chance loss, a task without a score at most half of it, a surface "
        "(model=point) at most 0.01 of its first loss.",
        "train_loss(T) < chance loss and score(T) ≥ max(c + (1 − c)/2, c + 2·√(c(1 − c)/n)) with chance level"
        " c",
        "the bounds are gradlab's",
        "Half-way is not good: it says that training works, not that the result is competitive.",
    ),
    "learning": Word(
        "Not learned or diverged, but the last training loss is below the chance loss and has fallen by more "
        "than 0.02 of the chance loss since half of the steps.",
        "train_loss(T) < chance loss and train_loss(T/2) − train_loss(T) > 0.02·chance loss",
        "the bound is gradlab's",
        "With few evaluations, half of the steps is the evaluation next to it.",
    ),
    "stalled": Word(
        "Not learned or diverged, and no longer falling or not below the chance loss.",
        "none of the rules above holds",
        "by definition",
        "A run that is too short to begin falling is called stalled.",
    ),
    "memorized": Word(
        "An addition to learned: the score on the test set is at most two sampling errors above chance level.",
        "score on the test set ≤ c + 2·√(c(1 − c)/n_test)",
        "Zhang et al. 2017",
        "A test set from another distribution looks the same; a tiny one has a wide error.",
    ),
    "overfits": Word(
        "An addition to learned or learning: the test loss has risen by a tenth, and by 0.05 of the chance "
        "loss, since its lowest evaluation, while the training loss went on falling.",
        "test_loss(T) ≥ 1.1·min test_loss + 0.05·chance loss, and train_loss(T) < train_loss at that minimum",
        "Prechelt 1998 (early stopping)",
        "The cross-entropy of a few test examples that are wrong with growing confidence rises while the "
        "accuracy stays.",
    ),
    "spiked and recovered": Word(
        "An addition to learned or learning: the minibatch loss once jumped by half of the chance loss above "
        "its level, and by six robust deviations, and the last training loss is back at that level or below.",
        "ℓ(t) > m + max(0.5·chance loss, 6·1.4826·median|ℓ − m|) with the median m of the up to 50 recorded "
        "losses before; train_loss(T) ≤ m + 0.05·chance loss",
        "Chowdhery et al. 2022 §5.1 (loss spikes)",
        "One odd minibatch jumps without any harm to the weights.",
    ),
    "not judged": Word(
        "Only of a run that gradlab has not trained, and that has not diverged: its chance loss is not known, so "
        "nothing says whether it has learned. The losses are the means of the first and of the last tenth of those "
        "recorded.",
        "nonfinite is empty in status.json, which has no chance loss",
        "by definition",
        "It is no verdict on the training, neither a good one nor a bad one.",
    ),
}

CAUSES = {
    "saturated": Word(
        "At least half of the activations of a hidden layer have a slope below 5 % of the largest.",
        "saturated(l) ≥ 0.5",
        "Glorot and Bengio 2010",
        "A gate or a classifier that is surely right is saturated on purpose.",
    ),
    "dead units": Word(
        "At least half of the units of a hidden layer have slope zero on every example of the batch.",
        "dead(l) ≥ 0.5",
        "Lu et al. 2019",
        "On a small batch a unit that is only rarely active looks dead.",
    ),
    "clip always acts": Word(
        "The clip changed the gradient at every step, so that its threshold and the learning rate set the "
        "size of a step, and the gradient only its direction. `normalize` does so by definition and is not "
        "told.",
        "clipped > 0 in every row (share 1)",
        "Zhang et al. 2020 (clipping as normalization)",
        "It is no fault where it is intended.",
    ),
    "clip never acts": Word(
        "The clip changed no gradient: the run trained as with clip=none.",
        "clipped = 0 in every row",
        "by definition",
        "With log.every > 1 the steps between are not seen.",
    ),
    "adam hides a vanished gradient": Word(
        "The backward signal vanishes, and the optimizer divides by the gradient's size, so that the updates "
        "of the first layers are as large as those of the last: their size is no sign of health.",
        "vanishing, optimizer adam, adamw, rmsprop, adagrad, lion or sign, and log10_update(1) − "
        "log10_update(L) > −1.30 at the same step",
        "Kingma and Ba 2015 §2: the update does not change with the gradient's scale",
        "The network may train nevertheless: the direction is right as long as eps and rounding do not "
        "matter.",
    ),
    "float16 would flush the gradient": Word(
        "In a run of another number format, float16 without a loss scale would round at least half of the "
        "nonzero entries of a layer's weight gradient to zero, at most of the steps at which they were counted. "
        "Only said of a run with histograms; `gradlab precision` tells which loss scale helps.",
        "median over the steps of the fraction of nonzero entries of ∂loss/∂W_l below 2^−25 ≥ 0.5 "
        "(gradient_magnitudes)",
        "IEEE 754: half of the smallest float16, 2^−24; Micikevicius et al. 2018 (loss scaling)",
        "The signal between the layers is not counted: it may be flushed earlier than the gradient of the "
        "weights. A run in float16 itself is never told: what it flushed is zero like any other.",
    ),
    "edge of stability": Word(
        "Gradient descent on the whole training set has made the loss as curved as its learning rate allows, and "
        "holds it there: the loss falls, but not at every step, and a larger learning rate finds a flatter place. "
        "Only said of a run with probe=sharpness.",
        "mean over the last quarter of the steps of sharpness/stability_limit between 0.95 and 1.10, for every seed, "
        "from 5 measurements or more; batch_size=0, no preconditioner",
        "Cohen et al. 2021 (gradient descent at the edge of stability)",
        "The limit is that of a quadratic: a local threshold, not a bound on the learning rate. A clip, a penalty or a "
        "schedule moves it.",
    ),
    "noise dominates the gradient": Word(
        "The gradient of a batch is mostly noise of its examples: a batch several times as large would give a clearly "
        "better direction. Only said of a run with probe=noise.",
        "noise_scale − 2·noise_scale_error > 4·batch_size at the last measurement, for every seed",
        "McCandlish et al. 2018 (an empirical model of large-batch training)",
        "Near the end of a training the mean gradient is small because the network fits: that is no fault.",
    ),
    "updates lost to rounding": Word(
        "The training is stalled or still learning, and the updates of a layer are so small against its "
        "weights that at least half of the entries do not change.",
        "median over the steps: update_lost(l) ≥ 0.5 with 0 < ‖ΔW_l‖ ≤ 8·eps·‖W_l‖ (eps of the parameters' "
        "number format)",
        "IEEE 754: float32 rounds to 6e-8 of a number",
        "A part that is meant to stay, as with a tiny factor in lr_factors, is told too.",
    ),
    "update too small": Word(
        "The training is stalled or still learning, and the updates of a layer's kernels are below 1e-6 of "
        "its weights: a thousandth of what is usual.",
        "median over the steps of ‖ΔW_l‖/‖W_l‖ < 1e-6",
        "the usual ratio is 1e-3: Karpathy, CS231n notes on neural networks 3",
        "A schedule that has ended has small updates, and so has a plateau.",
    ),
    "update too large": Word(
        "The training is diverged, oscillating, stalled or lost, and an update changes a layer's kernels by "
        "more than a tenth of their size.",
        "median over the steps of ‖ΔW_l‖/‖W_l‖ > 0.1",
        "the usual ratio is 1e-3: Karpathy, CS231n notes on neural networks 3",
        "Weights that begin at or near zero grow by large factors at first.",
    ),
}

_WEIGHTS_MISLEAD = (
    "The norm of a weight gradient is made of the backward signal and of the layer's input: in a 50-layer relu "
    "network with Xavier initialization it is level while the backward signal vanishes by 7.5 decades. Layers of "
    "unlike shapes differ by their shapes alone."
)
_WEIGHT_DECADES = (
    "D = log10_gradient(first) − log10_gradient(last), over the layers with a weight gradient, less the first and the "
    "last of them; t-interval on its differences"
)
# of a log without the backward signal: never said of a run that has it
WEIGHTS = {
    "weight gradient not finite": Word(
        "The gradient of some layer's weights is infinite or NaN.",
        "log10_gradient(l) is +inf or NaN for some l",
        "by definition",
        "Where the loss is scaled, as for float16, an infinite gradient now and then is skipped and harmless. Which "
        "layer is to blame is not known: the gradients of all layers before it are not finite either.",
    ),
    "weight gradient zero": Word(
        "The gradient of some layer's weights is exactly zero, so that the layer learns nothing.",
        "log10_gradient(l) = −inf for some l",
        "by definition",
        "A frozen layer, and a number too small for the number format of the program that wrote the log (float32: "
        "1e-45, float16: 6e-8), are zeros too.",
    ),
    "weight gradient falls": Word(
        "The weight gradient becomes at least 20 times smaller from the last layers back to the first: the 95 % "
        "interval of the decades lies below −1.30.",
        f"{_WEIGHT_DECADES}; D_high < −log10(20)",
        _DECADES_SOURCE,
        f"{_WEIGHTS_MISLEAD} So this suggests a vanishing backward signal, and does not prove it.",
    ),
    "weight gradient rises": Word(
        "The weight gradient becomes at least 20 times larger from the last layers back to the first: the 95 % "
        "interval of the decades lies above +1.30.",
        f"{_WEIGHT_DECADES}; D_low > log10(20)",
        _DECADES_SOURCE,
        f"{_WEIGHTS_MISLEAD} So this suggests an exploding backward signal, and does not prove it.",
    ),
    "weight gradient level": Word(
        "The weight gradient neither falls nor rises over depth. Nothing follows for the backward signal.",
        f"{_WEIGHT_DECADES}; D_low ≤ log10(20) and D_high ≥ −log10(20)",
        _DECADES_SOURCE,
        _WEIGHTS_MISLEAD,
    ),
}

TABLES = {"signal": SIGNAL, "training": TRAINING, "weights": WEIGHTS, "cause": CAUSES}
WORDS = SIGNAL | TRAINING | WEIGHTS | CAUSES


def require_words(given: Iterable[str]) -> None:
    """Check that each is a verdict's word.

    Raises:
        RecipeError: one is not.
    """
    for word in given:
        if word not in WORDS:
            raise RecipeError(f"there is no verdict '{word}'{hint(word, WORDS)}")
