"""Gated recurrent units: the update gate carries the gradient."""

from gradlab.nn import cells
from gradlab.nn.model import Model, model
from gradlab.nn.recurrent import UNSUPPORTED_GATED, RecurrentInit, RecurrentKernelInit, recurrent_network
from gradlab.recipe.bounds import Count, Number, Positive


@model
def gru(update_bias: Number, recurrent: RecurrentInit, radius: Positive, bptt: Count) -> Model:
    """Gated recurrent unit (Cho et al. 2014); gates r, z, n."""
    kernel = RecurrentKernelInit(recurrent, radius)
    return lambda plan: recurrent_network(plan, cells.gru(update_bias), kernel, bptt, UNSUPPORTED_GATED)
