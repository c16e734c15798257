"""VGG (Simonyan & Zisserman 2015)."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block
from gradlab.nn.images import Layout, Multiple, scaled, shrunk
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Model, Plan, model

STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


@model
def vgg(layout: Layout, width_mult: Multiple) -> Model:
    """Five stages of 3×3 convolutions with 64, 128, 256, 512, 512 channels, each closed by a 2×2 max pool.

    depth 16: 138 357 544 parameters for 224×224 images in color and 1000 classes, with the two dense layers of 4096
    for large images. Small ones are averaged over their places behind the last stage instead, and pooled while
    there are two places.
    """

    def build(plan: Plan) -> list[Block]:
        return _vgg(plan, layout, width_mult)

    return build


def _vgg(plan: Plan, layout: Layout, width_mult: float) -> list[Block]:
    images.published(plan, 64, tuple(STAGES))
    size, width_factor = images.image(plan), plan.activation.width_factor
    large = images.large(layout, size, 64)
    found: list[Block] = []
    fan_in = plan.shape[-1]
    for stage, count in enumerate(STAGES[plan.depth]):
        channels = scaled(CHANNELS[stage], width_mult)
        for k in range(count):
            the = blocks.convolution("", fan_in, channels, 3, plan, behind=bool(found))
            pooled = k == count - 1 and (large or min(size) > 1)
            size = shrunk(size, 2, 2) if pooled else size
            pool = images.max_pool(2, 2) if pooled else blocks.same
            found.append(blocks.weighted(f"convolution{stage + 1}_{k + 1}", the, plan, after=pool))
            fan_in = channels * width_factor
    if large:
        return [*found, *blocks.dense(plan, fan_in * size[0] * size[1], [scaled(4096, width_mult)] * 2)]
    last = LayerSpec("", fan_in, plan.outputs, normed=False, scale=plan.residual.head)
    return [*found, blocks.weighted("output", last, plan, images.mean, active=False)]
