"""Recipes and what is true of them, by a formula, by a float64 network in `truth.py`, or because they were made so."""

import math
from dataclasses import dataclass

from tests.verdicts.truth import random_network, word_of

LARGEST = 38.53  # log10 of float32's
SMALLEST = -37.93  # of the normal numbers: what is smaller is taken for zero

NETWORK = ("batch_size=64", "data=gaussian", "data.train=64", "data.test=32", "data.shape=[32]", "width=32")
POINT = ("model=point", "loss=quadratic", "loss.condition=1.0", "steps=40", "eval.every=10")


@dataclass(frozen=True)
class Case:
    """`start`, `end` and `training` are all words of these verdicts, None where the truth is not known."""

    words: tuple[str, ...]
    because: str
    start: frozenset[str] | None = None
    end: frozenset[str] | None = None
    training: frozenset[str] | None = None
    over_time: str | None = None  # of the last recurrent layer, at the start
    causes: frozenset[str] = frozenset()  # that must be among them
    layer: tuple[int, int] | None = (
        None  # the first and last layer that may be named for a defect at the start
    )
    slow: bool = False

    def __str__(self) -> str:
        return " ".join(word for word in self.words if word not in NETWORK + POINT)


def _case(*words: str, because: str, start: str = "", end: str = "", training: str = "", **more) -> Case:
    """Words of a verdict are separated by commas."""
    sets = {
        key: frozenset(text.split(",")) if text else None
        for key, text in (("start", start), ("end", end), ("training", training))
    }
    return Case(words, because, **sets, **more)


def orthogonal() -> list[Case]:
    """Linear layers of orthogonal weights times g: every signal is multiplied by g, exactly, in both directions."""
    cases = []
    for depth, slow in ((2, False), (3, True), (10, False), (60, True), (300, False), (1000, True)):
        for change in (-25.0, -1.7, -1.4, -1.2, -0.5, 0.0, 0.5, 1.2, 1.4, 1.7, 25.0):
            gain = 10 ** (change / (depth - 1))
            if gain < 1e-6 or gain > 1e6:
                continue
            words = (
                "activation=linear",
                "initializer=orthogonal",
                f"depth={depth}",
                f"initializer.gain={gain:.9g}",
            )
            because = f"g^(L−1) = 10^{change}"
            cases.append(
                _case(*NETWORK, *words, "steps=0", because=because, start=word_of(change), slow=slow)
            )
    for gain, kind in ((2.0, "overflow"), (4.0, "overflow"), (0.4, "underflow"), (0.25, "underflow")):
        limit = LARGEST if kind == "overflow" else SMALLEST
        # the RMS at layer l is g^(l+1); the largest of 64·32 normal entries is 3.5 times, the smallest 1e-4 of it
        layer = limit / math.log10(gain) - 1
        slack = 4 / abs(math.log10(gain)) + 1
        words = ("activation=linear", "initializer=orthogonal", "depth=300", f"initializer.gain={gain}")
        start = "overflow,exploding" if kind == "overflow" else "underflow"
        place = (int(layer - slack), math.ceil(layer + slack))
        because = f"{gain}^l leaves float32 near layer {layer:.0f}"
        cases.append(
            _case(
                *NETWORK,
                *words,
                "steps=0",
                because=because,
                start=start if kind == "overflow" else "",
                layer=place,
            )
        )
    return cases


def other_networks() -> list[Case]:
    """Linear recurrences and convolutions with orthogonal kernels times g, which multiply a signal by g, exactly."""
    recurrent = (
        "model=rnn",
        "activation=linear",
        "data=adding",
        "data.length=50",
        "data.train=64",
        "data.test=16",
    )
    recurrent += ("batch_size=64", "width=16", "steps=0")
    images = (
        "model=cnn",
        "activation=linear",
        "initializer=delta_orthogonal",
        "depth=30",
        "width=8",
        "steps=0",
    )
    images += ("data=gaussian", "data.shape=[8,8,1]", "data.train=64", "data.test=16", "batch_size=64")
    cases = []
    for gain in (0.1, 0.9, 0.96, 1.0, 1.04, 1.1, 1.5):
        word = word_of(49 * math.log10(gain))
        words = (*recurrent, f"model.radius={gain}")
        cases.append(
            _case(*words, because=f"{gain}^49", start="undecided", over_time=word, slow=gain in (0.1, 1.5))
        )
    for gain in (0.5, 0.88, 0.92, 1.0, 1.08, 1.13, 2.0):
        word = word_of(29 * math.log10(gain))
        words = (*images, f"initializer.sigma_w={gain}")
        cases.append(_case(*words, because=f"{gain}^29", start=word, slow=gain in (0.5, 2.0)))
    return cases


def random_networks() -> list[Case]:
    """Normal weights: the decades of float64 networks, far enough from the bound for every seed."""
    cases = []
    for depth in (12, 40):
        for activation in ("relu", "tanh", "sigmoid", "softplus", "softsign", "erf"):
            for number, sigma in enumerate((0.3, 0.5, 0.7, 1.0, 1.4142136, 2.0, 3.0, 5.0)):
                mean, deviation, (least, most) = random_network(activation, sigma, depth, 32)
                # the fewer differences, the wider the interval of a single network
                if abs(abs(mean) - math.log10(20)) < (10 if depth == 12 else 5) * deviation:
                    continue
                start = word_of(mean)
                if start == "flowing" and least < 2.2 and most > 1.8:
                    continue  # the rank is about 2
                start += ",rank collapse" if start == "flowing" and most < 2 else ""
                words = (f"activation={activation}", "initializer=normal", f"depth={depth}")
                words += (f"initializer.sigma_w={sigma}", f"seed={number}")
                because = f"{mean:.1f} ± {deviation:.1f} decades, the rank {least:.1f} to {most:.1f}"
                slow = activation in ("softsign", "erf") or (
                    depth == 12 and activation in ("sigmoid", "softplus")
                )
                cases.append(_case(*NETWORK, *words, "steps=0", because=because, start=start, slow=slow))
    return cases


def descents() -> list[Case]:
    """θ <- (1 − lr·curvature)·θ on a quadratic: the loss is multiplied by that factor squared."""
    truths = {
        0.0001: ("stalled", "falls by 0.8 %"),
        0.01: ("learning", "0.99^80 = 0.45"),
        0.02: ("learning", "0.98^80 = 0.2"),
        0.1: ("learned", "0.9^80 = 2e-4"),
        0.5: ("learned", "0.5^80"),
        1.5: ("learned", "(−0.5)^80: it alternates, and falls"),
        1.9: ("learned", "(−0.9)^80"),
        1.99: ("learning", "(−0.99)^80"),
        2.0: ("oscillating", "θ <- −θ"),
        2.02: ("diverged", "1.02^80 = 4.9"),
        2.2: ("diverged", "1.2^80"),
        3.0: ("diverged", "2^80"),
        12.0: ("diverged", "11^80 is no float32"),
    }
    cases = []
    for start, curvature in ((1.0, 1.0), (20.0, 0.5), (-0.001, 8.0)):
        for product, (word, because) in truths.items():
            lr = product / curvature
            words = (f"model.start=[{start}]", f"loss.curvature={curvature}", f"lr={lr}")
            cases.append(_case(*POINT, *words, because=because, start="undecided", training=word))
    return cases


def steps_of_other_rules() -> list[Case]:
    """The same quadratic with rules whose path is known."""
    one = (*POINT, "model.start=[1.0]", "loss.curvature=1.0")
    return [
        # θ <- θ − lr·sign θ ends in ±(lr/2) or another pair that adds up to lr
        _case(*one, "optimizer=sign", "lr=0.4", because="1, 0.6, 0.2, −0.2, 0.2, …", training="oscillating"),
        _case(*one, "optimizer=sign", "lr=0.7", because="1, 0.3, −0.4, 0.3, …", training="oscillating"),
        _case(*one, "optimizer=sign", "lr=0.001", because="1 − 0.04: loss −8 %", training="learning"),
        _case(*one, "optimizer=sign", "lr=0.00001", because="1 − 0.0004", training="stalled"),
        # heavy ball with 0.9 is stable below lr·curvature = 2(1 + 0.9) = 3.8 (Polyak 1964)
        _case(*one, "optimizer=momentum", "lr=0.5", because="spectral radius √0.9", training="learned", slow=True),
        _case(*one, "optimizer=momentum", "lr=4.2", because="beyond 3.8", training="diverged", slow=True),
        # a clip by norm gives every far step the size lr·threshold
        _case(*one, "clip=norm", "clip.threshold=0.1", "lr=4.0", because="±0.2 for ever", training="oscillating"),
        _case(*one, "clip=norm", "clip.threshold=10", "lr=0.1", because="0.9^80", training="learned",
              causes=frozenset({"clip never acts"})),
        _case(*one, "clip=norm", "clip.threshold=0.0001", "lr=0.1", because="steps of 1e-5", training="stalled",
              causes=frozenset({"clip always acts"})),
        _case(*one, "clip=skip", "clip.threshold=0.5", "lr=0.1", because="|θ| = 1 is dropped", training="untrained"),
        _case(*one, "clip=skip", "clip.threshold=2", "lr=0.1", because="0.9^80", training="learned"),
        _case(*one, "lr=0.1", "steps=0", because="no step", training="untrained", start="undecided"),
    ]  # fmt: skip


def made() -> list[Case]:
    """Networks that are made so."""
    relu = (*NETWORK, "activation=relu", "steps=0")
    tanh = (*NETWORK, "activation=tanh", "steps=0")
    return [
        _case(*tanh, "initializer=zeros", "depth=12", because="weights of zeros", start="cut", layer=(0, 0)),
        _case(*relu, "initializer=zeros", "depth=12", because="weights of zeros", start="cut", layer=(0, 0)),
        _case(*relu, "initializer=constant", "initializer.value=-0.1", "depth=12", start="cut", layer=(1, 1),
              because="a relu's outputs times negative weights are negative: layer 1 is dead",
              causes=frozenset({"dead units"})),
        _case(*tanh, "initializer=orthogonal", "depth=1", because="one hidden layer", start="undecided"),
        _case(*relu, "initializer=he", "depth=1", because="one hidden layer", start="undecided"),
        _case(*tanh, "initializer=normal", "initializer.sigma_w=30", "depth=12", because="|z| is 30 or more",
              causes=frozenset({"saturated"})),
        # π/(π − 1) per layer in the squared norm (Yang et al. 2019): 1.211^39 = 10^3.2
        _case(*relu, "initializer=he", "normalization=batch", "depth=40", because="1.211^39", start="exploding"),
        _case(*relu, "initializer=xavier", "depth=40", because="2^(−39/2)", start="vanishing"),
        _case(*relu, "initializer=he", "depth=3", because="1 per layer", start="flowing"),
        # the head is zero at the start: no gradient passes it (Zhang et al. 2019)
        _case(*tanh, "initializer=zeros", "depth=2", "activation=tests.verdicts.broken:logarithm", start="undefined",
              because="log 0", layer=(0, 0)),
        _case(*tanh, "initializer=zeros", "depth=2", "activation=tests.verdicts.broken:ratio", start="undefined",
              because="0/0", layer=(0, 0)),
        _case(*tanh, "initializer=orthogonal", "depth=2", "activation=tests.verdicts.broken:root", start="undefined",
              because="the slope of the root at 0 is infinite, times a zero", layer=(0, 3)),
        _case(*relu, "residual=fixup", "depth=12", because="a head of zeros", start="cut", layer=(13, 13)),
    ]  # fmt: skip


def trained() -> list[Case]:
    """Small data whose outcome is certain."""
    whole = (
        *NETWORK,
        "batch_size=0",
        "depth=2",
        "activation=tanh",
        "initializer=orthogonal",
        "steps=300",
        "eval.every=50",
    )
    return [
        _case(*whole, "lr=0.5", because="64 examples with labels drawn at random are learned by heart",
              start="flowing", training="learned,memorized,overfits"),
        _case(*whole, "lr=0.000001", because="the parameters hardly move", start="flowing", training="stalled"),
        _case(*whole, "optimizer=adam", "lr=0.000001", because="300 steps of 1e-6", start="flowing", training="stalled",
              slow=True),
        _case("data=digits", "depth=2", "width=32", "initializer=orthogonal", "steps=300", "lr=0.1", "eval.every=50",
              because="digits are easy", start="flowing", end="flowing", training="learned", slow=True),
        _case(*NETWORK, "depth=40", "activation=sigmoid", "initializer=normal", "initializer.sigma_w=1.0",
              "optimizer=adam", "lr=0.0001", "steps=20", "eval.every=10",
              because="25 decades; Adam's update has the size of lr where "
              "the gradient is above eps, and the first layers' is 1e-25", start="vanishing",
              causes=frozenset({"updates lost to rounding"}), slow=True),
        _case(*NETWORK, "depth=40", "activation=relu", "initializer=normal", "initializer.sigma_w=1.0",
              "optimizer=sign", "lr=0.0001", "steps=20", "eval.every=10",
              because="the update of each entry is lr", start="vanishing",
              causes=frozenset({"adam hides a vanished gradient"}), slow=True),
    ]  # fmt: skip


CASES = [
    *orthogonal(),
    *other_networks(),
    *random_networks(),
    *descents(),
    *steps_of_other_rules(),
    *made(),
    *trained(),
]
