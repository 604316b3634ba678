"""One device's random generator is seeded and given back."""

from __future__ import annotations

import pytest
import torch

from dragonfly.inference.options import Options, own_seed

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("name", DEVICES)
def test_the_generator_is_given_back_even_after_a_fault(name: str) -> None:
    device = torch.device(name)
    torch.manual_seed(1)
    expected = torch.rand(3, device=device)
    torch.manual_seed(1)
    inside = torch.empty(3, device=device)
    with pytest.raises(RuntimeError, match="inside"):
        _fail_within(device, inside)
    assert torch.equal(torch.rand(3, device=device), expected)
    with own_seed(device, 5):
        assert torch.equal(torch.rand(3, device=device), inside)
    with own_seed(device, 6):
        assert not torch.equal(torch.rand(3, device=device), inside)


def _fail_within(device: torch.device, drawn: torch.Tensor) -> None:
    with own_seed(device, 5):
        drawn.uniform_()
        raise RuntimeError("inside")


def test_stop_is_one_text_or_several() -> None:
    assert Options(stop="END").stop == Options(stop=["END"]).stop == ("END",)  # pyright: ignore[reportArgumentType]
    assert Options.of(stop=None).stop == ()
