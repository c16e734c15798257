"""LeNet-5 (LeCun et al. 1998)."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block
from gradlab.nn.images import ImageSize, WidthMultiplier, output_size, scaled
from gradlab.nn.linear_layer import Padding
from gradlab.nn.model import Model, Plan, model


@model
def lenet(layout: ImageSize, width_mult: WidthMultiplier) -> Model:
    """Two 5×5 convolutions of 6 and 16 channels, each with average pooling, then dense layers of 120 and 84.

    61 706 parameters for 28×28 images in grey and ten classes: every channel of the second convolution sees all of
    the first, and pooling has no parameters, which is the usual reading today. Small images are padded in both.
    """

    def build(plan: Plan) -> list[Block]:
        return _lenet(plan, layout, width_mult)

    return build


def _lenet(plan: Plan, layout: ImageSize, width_mult: float) -> list[Block]:
    images.require_published(plan, 6, (5,))
    size, width_factor = images.image(plan), plan.activation.width_factor
    second: Padding = "valid" if images.is_large(layout, size, 28) else "same"
    channels = [scaled(count, width_mult) for count in (6, 16, 120, 84)]
    pool = images.average_pool(2)
    chain, fan_in = [], plan.shape[-1]
    for k, padding in enumerate(("same", second)):
        spec = blocks.convolution("", fan_in, channels[k], 5, plan, padding=padding, follows_activation=k > 0)
        chain.append(blocks.linear_block(f"convolution{k + 1}", spec, plan, after=pool))
        fan_in, size = channels[k] * width_factor, output_size(output_size(size, 5, 1, padding), 2, 2)
    return [*chain, *blocks.classifier_head(plan, fan_in * size[0] * size[1], channels[2:])]
