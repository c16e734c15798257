"""docs/hooks/gradlab_torch.py with the real PyTorch: its rows are gradlab's own numbers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.commands.main import main
from tests.frameworks.hooks import COLUMNS, hook, table

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

gradlab_torch = hook("gradlab_torch")
WIDTH, EXAMPLES = 8, 6


def network(depth=3, activation=nn.Tanh):
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(WIDTH, WIDTH), activation()) for _ in range(depth)]
    return nn.Sequential(*blocks, nn.Linear(WIDTH, 3))


def batch(seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal((EXAMPLES, WIDTH)).astype("float32")
    return torch.tensor(x), torch.tensor(random.integers(0, 3, EXAMPLES))


def written(net, path, x, y, scale=1.0, **options):
    """The rows of one step."""
    norms = gradlab_torch.Norms(net, path, **options)
    loss = nn.functional.cross_entropy(net(x), y)
    (scale * loss).backward()
    norms.write(loss, examples=len(x), scale=scale)
    return table(path)


def of_gradlab(net, x, y):
    """`gradlab.profile` of the same weights."""
    arrays = [jnp.asarray(value.detach().numpy()) for value in net.parameters()]
    params = list(zip(arrays[::2], arrays[1::2], strict=True))
    block = lambda own, h: jnp.tanh(h @ own[0].T + own[1])
    head = lambda own, h: h @ own[0].T + own[1]
    labels = jnp.asarray(y.numpy())
    loss = lambda output: -jnp.mean(jax.nn.log_softmax(output)[jnp.arange(EXAMPLES), labels])
    return gradlab.profile([block] * (len(params) - 1) + [head], jnp.asarray(x.numpy()), loss, params=params)


def test_the_rows_are_the_profiles_of_gradlab(tmp_path):
    net, (x, y) = network(), batch()
    rows, expected = written(net, tmp_path / "n.csv", x, y), of_gradlab(net, x, y)
    assert list(rows["layer"]) == ["0", "1", "2", "3"]
    for column in COLUMNS[2:-1]:
        found = np.array(rows[column], dtype=float)
        np.testing.assert_allclose(found, getattr(expected, column), atol=2e-6)  # float32 against float32
    np.testing.assert_allclose(np.array(rows["loss"], dtype=float), expected.loss, rtol=1e-6)


def test_ingest_stores_what_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = written(network(), tmp_path / "n.csv", *batch())
    assert main(["ingest", "n.csv"]) == 0
    stored = gradlab.load("outputs/ingested/n")
    assert list(stored["name"]) == list(rows["layer"])
    for column in COLUMNS[2:-1]:
        np.testing.assert_array_equal(stored[column].astype(float), np.float32(rows[column].tolist()))


def test_the_training_is_not_changed_and_rows_are_of_the_weights_before_the_update(tmp_path):
    trained = []
    for measured in (False, True):
        net = network()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        norms = gradlab_torch.Norms(net, tmp_path / "n.csv", every=2) if measured else None
        weights, forward = [], []
        for step in range(5):
            if norms:
                with torch.no_grad():
                    net(100 * batch(99)[0])  # an evaluation between two steps is not measured
            x, y = batch(step)
            weights.append(float(net[0][0].weight.detach().double().norm()))
            forward.append(float(net[0](x).detach().double().square().mean().sqrt()))
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            if norms:
                norms.write(loss, examples=len(x))
            optimizer.step()
        trained.append([value.detach().clone() for value in net.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*trained, strict=True))
    rows = table(tmp_path / "n.csv")
    assert list(rows["step"]) == [0] * 4 + [2] * 4 + [4] * 4
    first = rows[rows["layer"] == "0"].astype({"log10_weight": float, "log10_forward": float})
    np.testing.assert_allclose(10 ** first["log10_weight"], weights[::2], rtol=1e-12)
    np.testing.assert_allclose(10 ** first["log10_forward"], forward[::2], rtol=1e-12)


def test_zeros_infinities_and_nan_are_told_apart(tmp_path):
    x, y = batch()
    for value, backward, loss in ((0.0, "-inf", math.log(3)), (math.nan, "nan", math.nan)):
        net = network(depth=1)
        nn.init.constant_(net[1].weight, value)
        nn.init.zeros_(net[1].bias)
        rows = written(net, tmp_path / "n.csv", x, y)
        assert str(rows["log10_backward"][0]) == backward
        assert rows["loss"][0] == pytest.approx(loss, nan_ok=True)
    net = network(depth=1)
    nn.init.constant_(net[1].weight, math.inf)
    assert written(net, tmp_path / "n.csv", x, y)["log10_weight"][1] == math.inf


def test_norms_are_right_where_their_squares_leave_float32(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    for layer, scale in zip(net, (1e-25, 1e25), strict=True):
        layer.weight.data = scale * torch.eye(4)
    norms = gradlab_torch.Norms(net, tmp_path / "n.csv")
    loss = net(torch.ones(1, 4)).mean()
    loss.backward()
    norms.write(loss, examples=1)
    rows = table(tmp_path / "n.csv")
    np.testing.assert_allclose(
        list(rows["log10_weight"]), [math.log10(2) - 25, math.log10(2) + 25], atol=1e-6
    )
    np.testing.assert_allclose(list(rows["log10_forward"]), [-25, 0], atol=1e-6)
    np.testing.assert_allclose(
        list(rows["log10_backward"]), [math.log10(0.5) + 25, math.log10(0.5)], atol=1e-6
    )


def test_a_scaled_loss_gives_the_same_rows(tmp_path):
    x, y = batch()
    one = written(network(), tmp_path / "a.csv", x, y)
    other = written(network(), tmp_path / "b.csv", x, y, scale=1024.0)
    assert one.equals(other)  # a power of two is exact


def test_what_changes_the_output_in_place_does_not_change_the_rows(tmp_path):
    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=inplace), nn.Linear(WIDTH, 3))
        found.append(written(net, tmp_path / "n.csv", *batch()))
    assert found[0].equals(found[1])


def test_what_a_layer_does_not_have_is_empty(tmp_path):
    net = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 3))
    net[0].requires_grad_(False)
    rows = written(net, tmp_path / "n.csv", *batch())
    assert rows["log10_gradient"].isna().tolist() == [True, True, False]  # frozen, without weights
    assert rows["log10_weight"].isna().tolist() == [False, True, False]
    assert rows["log10_backward"].isna().tolist() == [True, True, False]  # nothing before them is trained
    assert rows["log10_forward"].notna().all()


def test_of_a_layer_that_is_called_twice_the_first_output_is_measured(tmp_path):
    x, y = batch()
    layer, head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()), nn.Linear(WIDTH, 3)
    norms = gradlab_torch.Norms(nn.Sequential(layer, head), tmp_path / "n.csv")
    h = layer(x)
    h.retain_grad()
    loss = nn.functional.cross_entropy(head(layer(h)), y)
    loss.backward()
    norms.write(loss, examples=len(x))
    found = 10.0 ** table(tmp_path / "n.csv").iloc[0][["log10_forward", "log10_backward"]].astype(float)
    expected = [h.detach().square().mean().sqrt(), EXAMPLES**0.5 * h.grad.norm()]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


class Stages(nn.Module):
    """A stem, two stages of blocks, a list, a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.stage = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.body = nn.Module()
        self.body.h = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(2))
        self.nothing = nn.Dropout(0.1)
        self.head = nn.Linear(WIDTH, 3)


class Plain(nn.Module):
    """Layers as attributes."""

    def __init__(self):
        super().__init__()
        self.a, self.phi, self.b = nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("net", "names"),
    [(Stages, "stem stage.0 stage.1 body.h.0 body.h.1 head"), (Plain, "a b"), (network, "0 1 2 3")],
)
def test_the_layers_that_are_measured(net, names):
    assert [name for name, _ in gradlab_torch.layers_of(net())] == names.split()


def test_chosen_layers_have_the_names_they_were_given(tmp_path):
    net = network()
    rows = written(net, tmp_path / "n.csv", *batch(), layers={"first": net[0], "head": net[-1]})
    assert list(rows["layer"]) == ["first", "head"]


def test_a_network_without_layers_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no layers to measure; name them"):
        gradlab_torch.Norms(nn.Linear(2, 2), tmp_path / "n.csv")
