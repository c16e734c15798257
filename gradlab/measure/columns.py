"""Columns of the stored tables: name, type, definition. The one description that writer and readers share."""

import pyarrow as pa

VERSION = 3
SOURCES = ("batch", "probe")

_f32, _i32, _i64 = pa.float32(), pa.int32(), pa.int64()
_word = pa.dictionary(pa.int32(), pa.string())
_where = [("seed", _i32), ("step", _i32), ("source", _word), ("layer", _i32), ("name", _word)]

# Row t is measured at θ_t, before update t. The final row T is measured after the last update and has no update.
# source: `batch` is the training minibatch of the step, `probe` is the fixed batch of training examples.
# layer: 0 the input block, 1…L the hidden blocks, L+1 the output block; h_l is block l's output.
# B is the number of terms in the mean loss: examples, or labelled time steps where each time step has a label.
# In every log10 column null means not measured and −inf means exactly zero.
COLUMNS: dict[str, dict[str, str]] = {
    "layers": {
        "log10_forward": "log10 of ‖h_l‖_F / √(B·n_l): RMS per unit",
        "log10_backward": "log10 of √B·‖∂(mean loss)/∂h_l‖_F: RMS over the B loss terms of the gradient norm",
        "log10_backward_z": "log10_backward at the block's pre-activation, the input of its activation",
        "log10_gradient": "log10 of ‖∂(data loss)/∂W_l‖_F over the block's kernels, before penalty and clip",
        "log10_weight": "log10 of ‖W_l‖_F over the same kernels",
        "log10_update": "log10 of ‖ΔW_l‖_F over the same kernels",
        "update_lost": "fraction of the kernels' entries with W + ΔW = W in their dtype",
        "cosine": "mean cosine between two examples' h_l: (B·‖mean_i h_i/‖h_i‖‖² − 1)/(B − 1)",
        "mean": "mean of h_l over examples and units",
        "var": "variance of h_l over examples and units",
        "saturated": "fraction of activations with |φ'| < 0.05·max|φ'|; 0 for relu and others that do not saturate",
        "dead": "fraction of units with φ' = 0 on the whole batch",
    },
    "parameters": {
        "log10_gradient": "log10 of the norm of ∂(data loss)/∂θ, before penalty and clip",
        "log10_weight": "log10 of ‖θ‖",
        "log10_update": "log10 of ‖Δθ‖, the norm of the update",
        "update_lost": "fraction of entries with θ + Δθ = θ in their dtype",
    },
    "steps": {
        "loss": "mean data loss over the batch",
        "penalty": "penalty added to the data loss",
        "learning_rate": "learning rate of the step: peak learning rate times schedule factor",
        "log10_gradient": "log10 of the global norm of ∂(loss + penalty)/∂θ, by back-propagation at θ",
        "log10_unclipped": "log10 of the global norm before the clip, of the gradient in use or of the update",
        "log10_clipped": "log10 of the same norm after the clip",
        "clip_cosine": "cosine between the clip's input and output; 1 for zeros",
        "clipped": "fraction of the entries that the clip acted on; all or none for a clip by global norm",
        "weight_zeros": "fraction of the penalized parameters that are exactly zero; null without an l1 penalty",
        "evaluations": "batch losses evaluated for training before this step; a gradient counts as one",
        "train_loss": "data loss on the training set, in evaluation mode; null between evaluations",
        "train_accuracy": "fraction of correct labels on the training set; null for regression",
        "train_balanced_accuracy": "mean over classes of the fraction of correct labels (recall) on the training set",
        "train_r2": "1 − Σ(output − target)²/Σ(target − mean target)² on the training set; null for classification",
        "test_loss": "data loss on the test set",
        "test_accuracy": "fraction of correct labels on the test set; null for regression",
        "test_balanced_accuracy": "mean over classes of the fraction of correct labels on the test set",
        "test_r2": "train_r2's formula on the test set; null for classification",
    },
    # recurrent networks only; time runs from 1 to T, so h_T is the last state
    "times": {
        "log10_backward": "log10 of √B·‖∂(mean loss)/∂h_t‖_F, along all paths",
        "log10_backward_c": "log10_backward at the cell state c_t; null where there is none",
    },
    "notes": {"value": "a measure from inside a block, named by the column `measure`"},
}
_counts = [("zeros", _i32), ("infs", _i32), ("nans", _i32)]  # entries of the gradient; null: not measured
_floats = {table: [(column, _f32) for column in columns] for table, columns in COLUMNS.items()}
OPTIONAL = ("times", "notes")  # tables that only some networks have
SCHEMAS = {
    "layers": pa.schema([*_where, ("size", _i64), *_floats["layers"], *_counts]),
    "parameters": pa.schema(
        [*_where, ("parameter", _word), ("size", _i64), *_floats["parameters"], *_counts]
    ),
    # phase: index of the optimizer in use (optimizer=phases), from 0
    "steps": pa.schema([*_where[:3], ("phase", _i32), *_floats["steps"]]),
    "times": pa.schema([*_where, ("time", _i32), *_floats["times"]]),
    "notes": pa.schema([*_where, ("measure", _word), *_floats["notes"]]),
}
STATES = ("running", "finished", "diverged", "failed", "stopped", "interrupted")
