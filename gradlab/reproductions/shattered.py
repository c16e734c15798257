"""Shattered gradients: along a line of inputs the gradient of a deep normalized network is white noise."""

from typing import TYPE_CHECKING

from gradlab.reproductions.check import Check, Study, between, near

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "With depth the gradients of a feed-forward network by its input come to resemble white noise, and those of a "
    "residual network stay correlated."
)
SOURCE = "Balduzzi et al. 2017, ICML"

LAGS = (1, 5, 10)
# autocorrelation at these lags of a network of so many relu layers, each unit standardized over the line; 20 seeds
FEED_FORWARD = {4: (0.918, 0.628, 0.337), 10: (0.483, -0.07, -0.09), 24: (-0.04, -0.01, 0.0)}
TOLERANCE = 0.1  # absolute
NOISE, SMOOTH = 0.15, 0.8  # accepted at lag 1: of 24 layers at most, of the residual network at least
WORDS = (
    "data=gaussian",
    "data.shape=[1]",
    "data.train=64",
    "data.test=16",
    "width=200",
    "activation=relu",
    "initializer=he",
    "normalization=batch",
    "batch_size=16",
    "steps=0",
    "seeds=20",
    "probe=[forward,shattering]",
    "snapshot=[]",
    "probes.shattering.points=256",
)


def measure(study: Study) -> list[Check]:
    """The autocorrelation of the output's derivative along a line of one-dimensional inputs, over 20 networks."""
    checks = []
    for layers, published in FEED_FORWARD.items():
        (run,) = study.run(*WORDS, f"depth={layers - 1}")  # the input block has an activation too
        values = autocorrelation(run)
        for lag, number in zip(LAGS, published, strict=True):
            checks.append(near(f"{layers} layers, lag {lag}", number, values[lag], absolute=TOLERANCE))
    checks.append(between("24 layers, lag 1: white noise", -0.04, values[1], high=NOISE))
    residual = ("depth=50", "residual=layer_scale", "residual.start=0.1", "seeds=5")
    (run,) = study.run(*WORDS, *residual)
    return [*checks, between("50 residual layers, lag 1", 0.892, autocorrelation(run)[1], low=SMOOTH)]


def autocorrelation(run: "RunResult") -> dict[int, float]:
    """The mean over seeds at the output, by lag."""
    rows = run.vectors
    at_output = rows[
        ((rows.measure == "gradient_autocorrelation") & (rows.layer == rows.layer.max())).to_numpy()
    ]
    means = at_output.groupby("index").value.mean()
    return {lag: float(means.get(lag, float("nan"))) for lag in LAGS}
