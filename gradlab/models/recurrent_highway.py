"""Recurrent highway units: one gate between the old state and the new one."""

from gradlab.nn import cells
from gradlab.nn.model import Model, model
from gradlab.nn.recurrent import UNSUPPORTED_GATED, RecurrentInit, RecurrentKernelInit, recurrent_network
from gradlab.recipe.bounds import Count, Number, Positive


@model
def recurrent_highway(
    transform_bias: Number, recurrent: RecurrentInit, radius: Positive, bptt: Count
) -> Model:
    """Recurrent highway (Zilly et al. 2017) of depth 1: one gate t and its complement 1 − t; gates n, t."""
    kernel = RecurrentKernelInit(recurrent, radius)
    return lambda plan: recurrent_network(
        plan, cells.highway(transform_bias), kernel, bptt, UNSUPPORTED_GATED
    )
