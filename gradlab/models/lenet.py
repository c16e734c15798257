"""LeNet-5 (LeCun et al. 1998)."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block
from gradlab.nn.images import Layout, Multiple, scaled, shrunk
from gradlab.nn.linear_layer import Padding
from gradlab.nn.model import Model, Plan, model


@model
def lenet(layout: Layout, width_mult: Multiple) -> Model:
    """Two 5×5 convolutions of 6 and 16 channels, each with average pooling, then 120, 84 and the answers.

    61 706 parameters for 28×28 images in grey and ten classes: every channel of the second convolution sees all of
    the first, and pooling learns nothing, which is the usual reading today. Small images are padded in both.
    """

    def build(plan: Plan) -> list[Block]:
        return _lenet(plan, layout, width_mult)

    return build


def _lenet(plan: Plan, layout: Layout, width_mult: float) -> list[Block]:
    images.published(plan, 6, (5,))
    size, width_factor = images.image(plan), plan.activation.width_factor
    second: Padding = "valid" if images.large(layout, size, 28) else "same"
    channels = [scaled(count, width_mult) for count in (6, 16, 120, 84)]
    pool = images.average_pool(2)
    found, fan_in = [], plan.shape[-1]
    for k, padding in enumerate(("same", second)):
        the = blocks.convolution("", fan_in, channels[k], 5, plan, padding=padding, behind=k > 0)
        found.append(blocks.weighted(f"convolution{k + 1}", the, plan, after=pool))
        fan_in, size = channels[k] * width_factor, shrunk(shrunk(size, 5, 1, padding), 2, 2)
    return [*found, *blocks.dense(plan, fan_in * size[0] * size[1], channels[2:])]
