"""AlexNet (Krizhevsky et al. 2012), on one device."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block, identity
from gradlab.nn.images import ImageSize, WidthMultiplier, output_size, scaled
from gradlab.nn.model import Model, Plan, model

CHANNELS = (96, 256, 384, 384, 256)
POOLED = (True, True, False, False, True)


@model
def alexnet(layout: ImageSize, width_mult: WidthMultiplier) -> Model:
    """Five convolutions of 96, 256, 384, 384 and 256 channels, three with max pooling, then 4096 twice.

    62 378 344 parameters for 227×227 (or 224×224) images in color and 1000 classes: without the two halves that the
    authors' two devices made, and without local response normalization. Large images: a first window of 11×11 with
    stride 4, pools of 3×3 with stride 2. Small ones: 3×3 with stride 1, pools of 2×2
    while each side has at least two positions.
    """

    def build(plan: Plan) -> list[Block]:
        return _alexnet(plan, layout, width_mult)

    return build


def _alexnet(plan: Plan, layout: ImageSize, width_mult: float) -> list[Block]:
    images.require_published(plan, 96, (8,))
    size = images.image(plan)
    large = images.is_large(layout, size, 64)
    channels = [scaled(count, width_mult) for count in (*CHANNELS, 4096, 4096)]
    chain, fan_in = [], plan.shape[-1]
    for k, window in enumerate((11 if large else 3, 5, 3, 3, 3)):
        stride = 4 if large and k == 0 else 1
        spec = blocks.convolution("", fan_in, channels[k], window, plan, stride, follows_activation=k > 0)
        size = output_size(size, window, stride, "same")
        pooled = POOLED[k] and (large or min(size) > 1)
        pool = images.max_pool(3 if large else 2, 2) if pooled else identity
        size = output_size(size, 3 if large else 2, 2) if pooled else size
        chain.append(blocks.linear_block(f"convolution{k + 1}", spec, plan, after=pool))
        fan_in = channels[k] * plan.activation.width_factor
    return [*chain, *blocks.classifier_head(plan, fan_in * size[0] * size[1], channels[5:])]
