"""Definitions of the terms: the one text for docs/concepts.md and any other glossary; `words.py` has the verdicts."""

TERMS = {
    "forward signal": "The size of a layer's output h_l: log10 of its RMS per unit, ‖h_l‖_F / √(B·n_l), over the B "
    "examples of the minibatch and the layer's n_l units (column `log10_forward`).",
    "backward signal": "The size of the loss gradient at a layer's output: log10 of √B·‖∂loss/∂h_l‖_F, the RMS over "
    "examples of each example's gradient norm (column `log10_backward`).",
    "weight gradient": "The norm of the loss gradient with respect to a layer's weights: log10 of ‖∂loss/∂W_l‖_F, "
    "before penalty and clip (column `log10_gradient`). It can be level over depth while the backward signal vanishes.",
    "decades": "Powers of ten. The decades of a run are the change of the backward signal from the last hidden layer L "
    "back to the first, log10_backward(1) − log10_backward(L): −2 means that it became 100 times smaller.",
    "gain": "The factor by which one layer multiplies the backward signal on its way back, 10 to the mean of "
    "log10_backward(l−1) − log10_backward(l). The mean is over neighbouring hidden layers of the same kind, without "
    "three pairs at each end where at least three remain.",
}
