"""VGG (Simonyan & Zisserman 2015)."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block, identity
from gradlab.nn.images import ImageSize, WidthMultiplier, output_size, scaled
from gradlab.nn.model import Model, Plan, model

STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


@model
def vgg(layout: ImageSize, width_mult: WidthMultiplier) -> Model:
    """Five stages of 3×3 convolutions with 64, 128, 256, 512, 512 channels, each closed by a 2×2 max pool.

    depth 16: 138 357 544 parameters for 224×224 images in color and 1000 classes, with the two dense layers of 4096
    for large images. Small ones are averaged over their positions after the last stage instead, and pooled while
    a side has two positions.
    """

    def build(plan: Plan) -> list[Block]:
        return _vgg(plan, layout, width_mult)

    return build


def _vgg(plan: Plan, layout: ImageSize, width_mult: float) -> list[Block]:
    images.require_published(plan, 64, tuple(STAGES))
    size, width_factor = images.image(plan), plan.activation.width_factor
    large = images.is_large(layout, size, 64)
    chain: list[Block] = []
    fan_in = plan.shape[-1]
    for stage, count in enumerate(STAGES[plan.depth]):
        channels = scaled(CHANNELS[stage], width_mult)
        for k in range(count):
            spec = blocks.convolution("", fan_in, channels, 3, plan, follows_activation=bool(chain))
            pooled = k == count - 1 and (large or min(size) > 1)
            size = output_size(size, 2, 2) if pooled else size
            pool = images.max_pool(2, 2) if pooled else identity
            chain.append(blocks.linear_block(f"convolution{stage + 1}_{k + 1}", spec, plan, after=pool))
            fan_in = channels * width_factor
    if large:
        return [
            *chain,
            *blocks.classifier_head(plan, fan_in * size[0] * size[1], [scaled(4096, width_mult)] * 2),
        ]
    return [*chain, blocks.output_block(plan, fan_in, images.mean)]
