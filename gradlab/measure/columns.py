"""The tables of a run: their columns, types and units. The one description that both wings agree on."""

import pyarrow as pa

VERSION = 3
SOURCES = ("batch", "probe")

_f32, _i32, _i64 = pa.float32(), pa.int32(), pa.int64()
_word = pa.dictionary(pa.int32(), pa.string())
_where = [("seed", _i32), ("step", _i32), ("source", _word), ("layer", _i32), ("name", _word)]

# Row t is measured at θ_t, before update t; a final row T follows the last update and has no update.
# source: `batch` is the training minibatch of the step, `probe` one fixed batch of training examples.
# layer: 0 the input block, 1…L the hidden blocks, L+1 the output block; h_l is block l's output.
# B counts what the loss is the mean of: examples, or the labelled time steps of the batch where each has a label.
# In every log10 column null means not measured and −inf a true zero.
COLUMNS: dict[str, dict[str, str]] = {
    "layers": {
        "log10_forward": "log10 of ‖h_l‖_F / √(B·n_l): RMS a unit",
        "log10_backward": "log10 of √B·‖∂(mean loss)/∂h_l‖_F: RMS over the B answers of each one's gradient norm",
        "log10_backward_z": "the same at the block's pre-activation, the input of its activation",
        "log10_gradient": "log10 of ‖∂(data loss)/∂W_l‖_F over the block's kernels, before penalty and clip",
        "log10_weight": "log10 of ‖W_l‖_F over the same kernels",
        "log10_update": "log10 of ‖ΔW_l‖_F over the same kernels",
        "update_lost": "share of the kernels' entries with W + ΔW = W in their dtype",
        "cosine": "mean cosine between two examples' h_l: (B·‖mean_i h_i/‖h_i‖‖² − 1)/(B − 1)",
        "mean": "mean of h_l over examples and units",
        "var": "variance of h_l over examples and units",
        "saturated": "share of activations with |φ'| < 0.05·max|φ'| (one-sided activations: never)",
        "dead": "share of units with φ' = 0 on the whole batch",
    },
    "parameters": {
        "log10_gradient": "log10 of the norm of ∂(data loss)/∂θ, before penalty and clip",
        "log10_weight": "log10 of the parameter's norm",
        "log10_update": "log10 of its update's norm",
        "update_lost": "share of entries with θ + Δθ = θ in their dtype",
    },
    "steps": {
        "loss": "mean data loss of the batch",
        "penalty": "penalty added to it",
        "learning_rate": "rate in use: peak times schedule",
        "log10_gradient": "log10 of the global gradient norm (loss and penalty), by back-propagation at θ",
        "log10_unclipped": "log10 of the norm of what the clip is given: the gradient in use, or the update",
        "log10_clipped": "the same after the clip",
        "clip_cosine": "cosine between what the clip is given and what it gives; 1 for zeros",
        "clipped": "share of the entries that the clip acted on: by norm all or none",
        "weight_zeros": "share of the penalized parameters that are exactly zero; null without an l1 penalty",
        "evaluations": "losses of a batch evaluated for training before this step; a gradient counts as one",
        "train_loss": "data loss on the training part, evaluation mode; null between evaluations",
        "train_accuracy": "share of labels told rightly on the training part; null where targets are numbers",
        "train_balanced_accuracy": "mean over classes of the share of each that is told rightly",
        "train_r2": "1 − Σ(output − target)²/Σ(target − mean target)²; null where targets are labels",
        "test_loss": "data loss on the test part",
        "test_accuracy": "share of labels told rightly on the test part",
        "test_balanced_accuracy": "the same mean over classes on the test part",
        "test_r2": "the same on the test part",
    },
    # the rows of networks that measure them: time runs from 1 to T, of h_T
    "times": {
        "log10_backward": "log10 of √B·‖∂(mean loss)/∂h_t‖_F, by all paths",
        "log10_backward_c": "the same at the cell state c_t; null where there is none",
    },
    "notes": {"value": "an inner measure of a block, by its name"},
}
_counts = [("zeros", _i32), ("infs", _i32), ("nans", _i32)]  # entries of the gradient; null: not measured
_floats = {table: [(column, _f32) for column in columns] for table, columns in COLUMNS.items()}
OPTIONAL = ("times", "notes")  # tables of some networks only
SCHEMAS = {
    "layers": pa.schema([*_where, ("size", _i64), *_floats["layers"], *_counts]),
    "parameters": pa.schema(
        [*_where, ("parameter", _word), ("size", _i64), *_floats["parameters"], *_counts]
    ),
    # phase: which of several optimizers is at work, from 0
    "steps": pa.schema([*_where[:3], ("phase", _i32), *_floats["steps"]]),
    "times": pa.schema([*_where, ("time", _i32), *_floats["times"]]),
    "notes": pa.schema([*_where, ("measure", _word), *_floats["notes"]]),
}
STATES = ("running", "finished", "diverged", "failed", "stopped", "interrupted")
