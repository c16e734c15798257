"""Does following `suggest-clip` end as well as the best threshold that was tried? Over studies with paired seeds."""

import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradlab.analysis.clip_advice import advise
from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.store.read import Run, open_run
from tests.recipes import launch, recipe

COMMON = ("width=32", "seeds=5", "eval.every=50", "probe=[backward]", "snapshot=[]")
SHORT = ("data.length=40", "data.train=1000", "steps=300")
STUDIES = {
    "deep tanh, 150 steps": ("depth=50", "lr=0.1", "steps=150", "width=64"),
    "deep tanh": ("depth=40", "lr=0.1", "steps=200"),
    "tanh": ("depth=20", "lr=0.1", "steps=200"),
    "tanh, large rate": ("depth=10", "lr=0.5", "steps=200"),
    "relu": ("depth=20", "activation=relu", "initializer=he", "lr=0.03", "steps=200"),
    "relu, large rate": ("depth=20", "activation=relu", "initializer=he", "lr=0.2", "steps=200"),
    "shallow relu": ("depth=3", "activation=relu", "initializer=he", "lr=0.05", "steps=200"),
    "layer norm": ("depth=20", "activation=relu", "initializer=he", "normalization=layer", "lr=0.1", "steps=200"),
    "batch norm": ("depth=20", "activation=relu", "initializer=he", "normalization=batch", "lr=0.1", "steps=200"),
    "adam": ("depth=20", "optimizer=adam", "lr=0.003", "steps=200"),
    "adam, large rate": ("depth=20", "optimizer=adam", "lr=0.03", "steps=200"),
    "momentum": ("depth=20", "optimizer=momentum", "lr=0.03", "steps=200"),
    "plain residual": ("depth=20", "activation=relu", "initializer=he", "residual=scaled", "lr=0.05", "steps=200"),
    "recurrent": ("model=rnn", "optimizer=sgd", "lr=0.1", "data=adding", "data.length=40", "data.train=1000"),
    # added when the rule had been made, to check it
    "tanh, rate 0.2": ("depth=30", "lr=0.2", "steps=200"),
    "relu, depth 30": ("depth=30", "activation=relu", "initializer=he", "lr=0.05", "steps=200"),
    "relu, depth 10": ("depth=10", "activation=relu", "initializer=he", "lr=0.3", "steps=200"),
    "gelu": ("depth=10", "activation=gelu", "initializer=he", "lr=0.1", "steps=200"),
    "selu": ("depth=20", "activation=selu", "initializer=lecun", "lr=0.1", "steps=200"),
    "momentum, large rate": ("depth=10", "optimizer=momentum", "lr=0.1", "steps=200"),
    "explosive residual": ("depth=10", "activation=relu", "initializer=he", "residual=plain", "lr=0.01", "steps=200"),
    "recurrent, large rate": ("model=rnn", "optimizer=sgd", "lr=0.5", "data=adding", *SHORT),
    "recurrent, adam": ("model=rnn", "optimizer=adam", "lr=0.01", "data=adding", *SHORT),
    "tanh, layer norm": ("depth=20", "normalization=layer", "lr=0.2", "steps=200"),
    "sigmoid": ("depth=3", "activation=sigmoid", "initializer=xavier", "lr=0.5", "steps=200"),
    "relu, adam": ("depth=10", "activation=relu", "initializer=he", "optimizer=adam", "lr=0.003", "steps=200"),
    "linear": ("depth=10", "activation=linear", "lr=0.05", "steps=200"),
}  # fmt: skip
THRESHOLDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Row(NamedTuple):
    """One study: the advice, its mean loss, that of the best fixed choice, the paired error of their difference."""

    study: str
    advice: str
    loss: float
    best: str
    best_loss: float
    error: float
    harm: float  # its loss less that without a clip, in paired standard errors; 0 if it advises none

    @property
    def as_good(self) -> bool:
        """Whether the advice ends within one paired standard error of the best fixed choice."""
        return self.loss - self.best_loss <= self.error


def final_losses(run: Run) -> np.ndarray:
    """The last training loss of each seed, (seeds,); a lost one, or one above chance level, counts as chance level."""
    chance = run.status["data"]["chance_loss"]
    rows = rows_with(minibatch_rows(run.steps), "train_loss").sort_values("step")
    last = rows.groupby("seed").tail(1).sort_values("seed")
    losses = to_float64(last.train_loss)
    lost = {entry["seed"] for entry in run.status["nonfinite"]}
    gone = np.isin(last.seed.to_numpy(), list(lost)) | ~np.isfinite(losses)
    return np.where(gone, chance, np.minimum(np.where(gone, chance, losses), chance))


def rows(folder: str | None = None) -> Iterator[Row]:
    """Each study, trained without a clip, with each threshold, and as advised; `folder` may hold earlier runs."""
    with tempfile.TemporaryDirectory() as temporary:
        outputs = folder or temporary
        for name, words in STUDIES.items():
            trained = lambda *clip, words=words: open_run(
                launch(recipe(*COMMON, *words, *clip, f"outputs={outputs}")).folder
            )
            without = trained("clip=none")
            fixed = {"none": final_losses(without)}
            for threshold in THRESHOLDS:
                fixed[f"norm {threshold:g}"] = final_losses(
                    trained("clip=norm", f"clip.threshold={threshold}")
                )
            advice = advise(without).advice
            clip = [f"clip={advice.clip}"]
            clip += [] if advice.threshold is None else [f"clip.threshold={advice.threshold}"]
            losses = final_losses(trained(*clip))
            best = min(fixed, key=lambda key: fixed[key].mean())
            difference = losses - fixed[best]
            yield Row(
                study=name,
                advice=f"{advice.clip} {advice.threshold or ''}".strip(),
                loss=float(losses.mean()),
                best=best,
                best_loss=float(fixed[best].mean()),
                error=_error(difference),
                harm=float((losses - fixed["none"]).mean() / max(_error(losses - fixed["none"]), 1e-9)),
            )


def _error(differences: np.ndarray) -> float:
    """The standard error of the mean of paired differences."""
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def advice(folder: str | None = None) -> None:
    """Print a line for each study, and how often the advice is as good as the best fixed choice."""
    found = []
    for row in rows(folder):
        found.append(row)
        verdict = "as good" if row.as_good else "worse"
        print(
            f"{row.study:<24}advice {row.advice:<12}loss {row.loss:<8.3g}best {row.best:<10}"
            f"loss {row.best_loss:<8.3g}± {row.error:<8.2g}{verdict}",
            flush=True,
        )
    harmed = [row.study for row in found if row.harm > 1]
    print(
        f"as good as the best fixed choice in {sum(row.as_good for row in found)} of {len(found)} studies; worse "
        f"than no clip by more than a standard error in {len(harmed)} {harmed or ''}"
    )
