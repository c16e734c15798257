"""The models: importing this registers them all."""

from gradlab.models import (
    alexnet,
    cnn,
    custom,
    densenet,
    lenet,
    linear,
    lsuv,
    mlp,
    perceptron,
    point,
    recurrent,
    resnet,
    seq2seq,
    transformer,
    vgg,
)

__all__ = [
    "alexnet",
    "cnn",
    "custom",
    "densenet",
    "lenet",
    "linear",
    "lsuv",
    "mlp",
    "perceptron",
    "point",
    "recurrent",
    "resnet",
    "seq2seq",
    "transformer",
    "vgg",
]
