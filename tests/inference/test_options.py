"""Options, and draws by a generator of each row's own."""

from __future__ import annotations

import pytest
import torch

from dragonfly.inference.options import Draw, Options

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
IDS = torch.zeros(1, 1, dtype=torch.long)


@pytest.mark.parametrize("name", DEVICES)
def test_what_is_drawn_follows_the_probabilities(name: str) -> None:
    device = torch.device(name)
    logits = torch.tensor([[2.0, 1.0, 0.0, -30.0]], device=device)
    draw = Draw(Options(temperature=2.0, seed=1), [1], device)
    drawn = torch.cat([draw(IDS, logits).argmax(-1) for _ in range(4000)])
    shares = drawn.bincount(minlength=4) / len(drawn)
    assert torch.allclose(shares, (logits[0] / 2).softmax(-1), atol=0.03)  # three standard errors


def test_top_p_leaves_the_improbable_out() -> None:
    logits = torch.tensor([[2.0, 1.9, -1.0, -1.0]])
    draw = Draw(Options(temperature=1.0, top_p=0.8, seed=1), [1], torch.device("cpu"))
    assert {int(draw(IDS, logits).argmax()) for _ in range(200)} == {0, 1}


def test_a_row_draws_the_same_alone_and_among_others_and_leaves_the_global_generator() -> None:
    options, cpu = Options(temperature=1.0, seed=3), torch.device("cpu")
    logits = torch.randn(3, 50)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    together, alone = Draw(options, [options.seed] * 3, cpu), Draw(options, [options.seed], cpu)
    for _ in range(5):
        assert torch.equal(together(IDS, logits)[1:2], alone(IDS, logits[1:2]))
    assert torch.equal(torch.rand(3), expected)


def test_stop_is_one_text_or_several() -> None:
    assert Options(stop="END").stop == Options(stop=["END"]).stop == ("END",)  # pyright: ignore[reportArgumentType]
    assert Options.of(stop=None).stop == ()
