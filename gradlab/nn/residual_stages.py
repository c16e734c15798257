"""The stages of residual networks: equal residual blocks in a row, with a single block where shapes change."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gradlab.nn import blocks, images
from gradlab.nn.blocks import ResidualSpec, SignalMap
from gradlab.nn.chain import Block, identity
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.plan import Plan


class Stage(NamedTuple):
    """Equal residual blocks, with `channels` inside the branch and expansion·channels in the sum."""

    block_count: int
    channels: int
    expansion: int
    stride: int  # of its first block


# (channels in, channels out, stride, plan) -> the skip where shapes change
Skip = Callable[[int, int, int, Plan], WeightLayerSpec | SignalMap]


def stem_options(plan: Plan) -> dict[str, Any]:
    """The stem's further fields of its WeightLayerSpec: it has no normalization if the first block begins with one."""
    return {"has_norm": plan.residual.activation_place != "before_weights", "follows_activation": False}


def stage_blocks(stages: list[Stage], channels: int, plan: Plan, skip: Skip) -> list[Block]:
    """The residual blocks, and the output after them; a stage's first block stands alone where shapes change.

    `channels`: those of the stem.
    """
    total, preceding, chain = sum(stage.block_count for stage in stages), 0, []
    width_factor = plan.activation.width_factor
    channels *= width_factor
    for number, stage in enumerate(stages, 1):
        width = stage.channels * stage.expansion * width_factor
        has_entry_block = int(stage.stride > 1 or width != channels)
        if has_entry_block:
            specs = _branch_specs(stage, channels, stage.stride, plan, total)
            shortcut = skip(channels, width, stage.stride, plan) if plan.residual.has_skip else identity
            residual = ResidualSpec(width, total, preceding, shortcut)
            chain.append(blocks.residual_block(f"entry{number}", specs, plan, residual, None))
        if stage.block_count > has_entry_block:
            specs = _branch_specs(stage, width, 1, plan, total)
            residual = ResidualSpec(width, total, preceding + has_entry_block)
            chain.append(
                blocks.residual_block(
                    f"stage{number}", specs, plan, residual, stage.block_count - has_entry_block
                )
            )
        channels, preceding = width, preceding + stage.block_count
    return [*chain, _output(plan, channels)]


def _output(plan: Plan, channels: int) -> Block:
    """The logits of the mean over all positions; pre-activation branches need a last norm and activation first."""
    if plan.residual.activation_place != "before_weights":
        return blocks.output_block(plan, channels, images.mean)
    spec = WeightLayerSpec(
        "",
        channels,
        plan.outputs,
        has_norm=blocks.normalizes_signal(plan),
        scale=plan.residual.output_scale,
        pre_activation=True,
    )
    return blocks.pre_activation_block("output", spec, plan, images.mean)


def _branch_specs(stage: Stage, fan_in: int, stride: int, plan: Plan, total: int) -> list[WeightLayerSpec]:
    """Two 3×3 convolutions, or 1×1, 3×3 and 1×1 where the stage expands its channels."""
    inner, width_factor = stage.channels, plan.activation.width_factor
    sizes = [(3, inner, stride), (3, inner, 1)]
    if stage.expansion > 1:
        sizes = [(1, inner, 1), (3, inner, stride), (1, inner * stage.expansion, 1)]
    specs = []
    for k, (window, channels, layer_stride) in enumerate(sizes, 1):
        options: dict[str, Any] = {
            "scale": plan.residual.kernel_scale(k, len(sizes), total),
            "pre_activation": plan.residual.activation_place == "before_weights",
        }
        if not plan.residual.has_bias:
            options["bias"] = False
        prefix = f"layer{k}/"
        specs.append(blocks.convolution(prefix, fan_in, channels, window, plan, layer_stride, **options))
        fan_in = channels * width_factor
    return specs
