"""Layers stand in the order of their first appearance, numbers in their names by size."""

import pytest

from gradlab.logs.layer_order import ordered


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ("layers.10 layers.2 layers.1", "layers.1 layers.2 layers.10"),
        ("embed layers.0 layers.1 head", "embed layers.0 layers.1 head"),
        ("head layers.10.w layers.10.a layers.2.w", "head layers.2.w layers.10.w layers.10.a"),
        ("h.1.mlp h.0.attn h.0.mlp", "h.0.attn h.0.mlp h.1.mlp"),
        ("10 9 0", "0 9 10"),
        ("a a b a", "a b"),
        ("dense dense_2 dense_10 dense_1", "dense dense_1 dense_2 dense_10"),
        ("x007 x7 x6", "x6 x007 x7"),
        ("", ""),
    ],
)
def test_layers_are_ordered(names, order):
    assert ordered(names.split()) == order.split()
