"""Every family of parts by its name in a recipe."""

from gradlab.data.task import data
from gradlab.nn.model import model
from gradlab.parts.activations import activation
from gradlab.parts.clips.contract import clip
from gradlab.parts.family import Family
from gradlab.parts.initializers.contract import initializer
from gradlab.parts.losses.contract import loss
from gradlab.parts.normalizations import normalization
from gradlab.parts.optimizers.registry import optimizer
from gradlab.parts.penalties import penalty
from gradlab.parts.residuals import residual
from gradlab.parts.schedules import schedule

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        model,
        activation,
        initializer,
        normalization,
        residual,
        optimizer,
        schedule,
        clip,
        penalty,
        loss,
        data,
    )
}
