"""Norms of every layer of a Keras training (Keras 3 on JAX or PyTorch), as the table that `gradlab ingest` reads.

    norms = gradlab_keras.Norms(x_train[:128], y_train[:128], "norms.csv", every=10)
    model.fit(x_train, y_train, callbacks=[norms])

A callback sees neither the activations nor the gradients of the training step. So this one measures a batch of its own,
always the same, with the weights before the update and layers in training mode. It does not change the training. Its
loss is the mean over the examples of the loss given to `compile`, without regularization.
"""

import csv
from pathlib import Path

import keras
import numpy as np
from keras import ops

COLUMNS = "step,layer,log10_forward,log10_backward,log10_gradient,log10_weight,loss".split(",")


class Norms(keras.callbacks.Callback):
    """Writes one row per layer of the model at every `every`-th step, and after the last step."""

    def __init__(self, x, y, path, every=1):
        super().__init__()
        if keras.backend.backend() not in differentiated:
            raise ValueError(f"Norms needs Keras on jax or torch; its backend is {keras.backend.backend()}")
        self.x, self.y, self.path, self.every = x, y, Path(path), every
        self.path.write_text(",".join(COLUMNS) + "\n")

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) % self.every == 0:
            self.write()

    def on_train_end(self, logs=None):
        self.write()

    def write(self):
        """Measure the batch now."""
        model, step = self.model, int(self.model.optimizer.iterations)
        layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
        loss, outputs, signals, gradients = measured(model, layers, self.x, self.y)
        of_variable = {id(v): g for v, g in zip(model.trainable_variables, gradients, strict=True)}
        rows = []
        for name, layer in ((layer.name, layer) for layer in layers):
            kernels = [v for v in layer.weights if len(v.shape) >= 2]
            logs = (
                log10_norm([outputs.get(name)], rms=True),
                log10_norm([signals.get(name)], len(self.y) ** 0.5),
                log10_norm([of_variable.get(id(v)) for v in kernels]),
                log10_norm([v.value for v in kernels]),
            )
            rows.append([step, name, *logs, float(numpy(loss))])
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def measured(model, layers, x, y):
    """The loss, by layer its output h and ∂loss/∂h, and ∂loss/∂v of every trainable variable v."""
    other = [v.value for v in model.non_trainable_variables]

    def run(trainable, zeros):
        outputs = {}
        for layer in layers:
            vars(layer)["call"] = noted(layer.name, layer.call, outputs, zeros)
        try:  # batch statistics and random states that the pass changes are not kept
            output, _ = model.stateless_call(trainable, other, x, training=True)
        finally:
            for layer in layers:
                del vars(layer)["call"]
        return ops.mean(keras.losses.get(model.loss)(ops.convert_to_tensor(y), output)), outputs

    return differentiated[keras.backend.backend()](run, [v.value for v in model.trainable_variables])


def noted(name, call, outputs, zeros):
    """A layer's `call` that notes its first output h, plus a zero: by it the derivative is ∂loss/∂h."""

    def wrapped(*arguments, **options):
        h = call(*arguments, **options)
        if name in outputs or not ops.is_tensor(h) or not keras.backend.is_float_dtype(h.dtype):
            return h
        outputs[name] = h + zeros[name] if name in zeros else h
        return outputs[name]

    return wrapped


def by_jax(run, trainable):
    """What `measured` returns, with JAX."""
    import jax

    shapes = jax.eval_shape(lambda values: run(values, {})[1], trainable)
    zeros = {name: ops.zeros(shape.shape, shape.dtype) for name, shape in shapes.items()}
    (loss, outputs), found = jax.value_and_grad(run, (0, 1), has_aux=True)(trainable, zeros)
    return loss, outputs, found[1], found[0]


def by_torch(run, trainable):
    """What `measured` returns, with PyTorch."""
    import torch

    leaves = [value.detach().clone().requires_grad_() for value in trainable]
    with torch.random.fork_rng():  # of PyTorch's dropout, which Keras keeps no state of
        loss, outputs = run(leaves, {})
    names = [name for name, h in outputs.items() if h.requires_grad]
    wanted = [*leaves, *(outputs[name] for name in names)]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return loss, outputs, dict(zip(names, found[len(leaves) :], strict=True)), found[: len(leaves)]


differentiated = {"jax": by_jax, "torch": by_torch}


def log10_norm(arrays, factor=1.0, rms=False):
    """log10 of the Euclidean norm of all entries, or their RMS, times `factor`; an empty cell of no array."""
    entries = [numpy(array).ravel() for array in arrays if array is not None]
    if not entries:
        return ""
    norm = np.linalg.norm(np.concatenate(entries)) / (np.sqrt(sum(map(len, entries))) if rms else 1)
    with np.errstate(divide="ignore"):
        return float(np.log10(norm * factor))


def numpy(array):
    """The array in NumPy's float64, in which squares of float32 numbers neither under- nor overflow."""
    return ops.convert_to_numpy(ops.stop_gradient(array)).astype(np.float64)
