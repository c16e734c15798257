"""Elman's recurrent network."""

from gradlab.nn import cells
from gradlab.nn.model import Model, model
from gradlab.nn.recurrent import RecurrentInit, RecurrentKernelInit, recurrent_network
from gradlab.recipe.bounds import Count, Positive


@model
def rnn(recurrent: RecurrentInit, radius: Positive, bptt: Count) -> Model:
    """h_t = φ(W_x x_t + W_h h_{t−1} + b), W_h of spectral radius `radius`: φ is the activation.

    Gradients vanish where σ_max(W_h)·max φ' < 1, and can explode only where it is above 1 (Pascanu et al. 2013); σ_max
    is the largest singular value. The spectral radius alone decides only for linear networks over many steps.
    activation=relu with recurrent=identity is the IRNN (Le et al. 2015).
    """
    kernel = RecurrentKernelInit(recurrent, radius)
    return lambda plan: recurrent_network(plan, cells.plain(plan.activation), kernel, bptt)
