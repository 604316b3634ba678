"""Muon beside AdamW: who takes which step, what a step is, and that a run resumes with both."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from dragonfly.training.arguments import training_arguments
from dragonfly.training.muon import Muon, is_layer_matrix, orthogonal
from dragonfly.training.recipe import Optim
from dragonfly.training.trainer import parameter_groups
from tests.training import small


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 6)
        self.layers = nn.ModuleList([nn.Linear(6, 12), nn.Linear(12, 6)])
        self.head = nn.Linear(6, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers[1](self.layers[0](self.embed(ids)).tanh()))


OPTIM = Optim(learning_rate=0.01, muon=0.1, weight_decay=0.1, betas=(0.9, 0.99))


def learn(net: Net, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        net(torch.arange(5)).square().sum().add(step * net.embed.weight.sum()).backward()
        optimizer.step()


def test_matrices_of_layers_and_no_others_are_muons() -> None:
    net = Net()
    assert [name for name, one in net.named_parameters() if is_layer_matrix(name, one)] == ["layers.0.weight", "layers.1.weight"]
    groups = parameter_groups(net, OPTIM)
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    (matrices,) = [group for group in groups if group["muon"]]
    assert (matrices["lr"], matrices["weight_decay"], len(matrices["params"])) == (0.1, 0.1, 2)
    assert {group["lr"] for group in groups if not group["muon"]} == {0.01}
    assert all("muon" not in group for group in parameter_groups(net, Optim(learning_rate=0.01)))


@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_orthogonal_keeps_directions_and_evens_out_their_lengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix)
    lengths = torch.linalg.svdvals(found)
    assert float(lengths.min()) > 0.5 and float(lengths.max()) < 1.3
    nearest = left @ right
    assert float((found * nearest).sum() / found.norm() / nearest.norm()) > 0.97
    torch.testing.assert_close(orthogonal(3 * matrix), found)


def test_a_step_is_muons_for_matrices_and_adamws_for_the_rest() -> None:
    net = Net()
    twin = copy.deepcopy(net)
    optimizer = Muon(parameter_groups(net, OPTIM), OPTIM.betas)
    learn(net, optimizer, 1)
    plain = torch.optim.AdamW(parameter_groups(twin, OPTIM.model_copy(update={"muon": None})), betas=OPTIM.betas)
    before = twin.get_parameter("layers.0.weight").detach().clone()
    learn(twin, plain, 1)
    for name in ("embed.weight", "head.weight", "layers.0.bias"):
        torch.testing.assert_close(net.get_parameter(name), twin.get_parameter(name))
    gradient = twin.get_parameter("layers.0.weight").grad
    assert gradient is not None
    # 12 x 6: the rate grows by the root of rows over columns; the first momentum has the gradient's direction.
    expected = before * (1 - 0.1 * 0.1) - 0.1 * 2**0.5 * orthogonal(gradient)
    torch.testing.assert_close(net.get_parameter("layers.0.weight"), expected)


def test_it_resumes_from_its_state() -> None:
    whole, first = Net(), Net()
    learn(whole, Muon(parameter_groups(whole, OPTIM), OPTIM.betas), 2)
    optimizer = Muon(parameter_groups(first, OPTIM), OPTIM.betas)
    learn(first, optimizer, 2)
    again = copy.deepcopy(first)
    other = Muon(parameter_groups(again, OPTIM), OPTIM.betas)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learn(first, optimizer, 3)
    learn(again, other, 3)
    for name, parameter in first.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), parameter, rtol=0, atol=0)


def test_deepspeed_is_refused_before_it_splits_matrices(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, optim={"learning_rate": 1e-3, "muon": 0.02}, deepspeed="zero1")
    with pytest.raises(ValueError, match=r"optim\.muon needs whole matrices"):
        training_arguments(recipe, 4)
