"""Definitions of the terms and verdict words: the one text for docs/concepts.md and for any other glossary.

The rules are those of `analysis/gain.py`, `analysis/signal.py` and `analysis/training.py`; change both together.
"""

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
SIGNAL = {
    "vanishing": "The 95 % interval of the decades lies below −1.30: the backward signal becomes at least 20 times "
    "smaller from the last hidden layer back to the first.",
    "exploding": "The 95 % interval of the decades lies above +1.30: the backward signal becomes at least 20 times "
    "larger from the last hidden layer back to the first.",
    "flowing": "Neither vanishing nor exploding: the 95 % interval of the decades reaches into the range from −1.30 "
    "to +1.30.",
    "cut": "The backward signal is exactly zero at some layer, so no gradient reaches the layers before it; for "
    "example, all units of a layer are dead.",
    "underflow": "The forward signal is exactly zero at a layer although it was below 1e-20, and not zero, at the "
    "layer before: it became too small for the number format, and the gradients from there on mean little.",
    "non-finite": "The forward or the backward signal is NaN or infinite at some layer, or the seed's loss or gradient "
    "became non-finite at an earlier step.",
    "rank collapse": "An addition to flowing: at the last hidden layer the mean cosine between the outputs of two "
    "examples is at least 0.95, and its distance from 1 is at most a fifth of the inputs' distance.",
    "undecided": "The network has at most one hidden layer, so there is no depth over which the signal could change.",
}
TRAINING = {
    "learned": "The last training loss is below the chance loss, and the score on the training set is at least "
    "half-way from chance level to perfect and at least two sampling errors above chance level. A language model "
    "needs at most 0.8 of the chance loss, a task without a score at most half of it, a surface (model=point) at "
    "most 0.01 of its first loss.",
    "learning": "Not learned or diverged, but the last training loss is below the chance loss and has fallen by more "
    "than 0.02 of the chance loss since half of the steps.",
    "stalled": "Not learned or diverged, and no longer falling or not below the chance loss.",
    "diverged": "The loss or the gradient became non-finite; or the last training loss is more than twice the larger "
    "of the first loss and the chance loss; or an earlier evaluation counted as learned, the last one does not, and "
    "the loss is more than twice its lowest value.",
    "memorized": "An addition to learned: the score on the test set is at most two sampling errors above chance level.",
    "untrained": "No step was taken.",
}
GLOSSARY = TERMS | SIGNAL | TRAINING
