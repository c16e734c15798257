"""Long short-term memory: the forget gate carries the gradient."""

from gradlab.nn import cells
from gradlab.nn.model import Model, model
from gradlab.nn.recurrent import UNSUPPORTED_GATED, RecurrentInit, RecurrentKernelInit, recurrent_network
from gradlab.recipe.bounds import Count, Number, Positive


@model
def lstm(forget_bias: Number, recurrent: RecurrentInit, radius: Positive, bptt: Count) -> Model:
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gates; gates i, f, g, o."""
    kernel = RecurrentKernelInit(recurrent, radius)
    return lambda plan: recurrent_network(plan, cells.lstm(forget_bias), kernel, bptt, UNSUPPORTED_GATED)
