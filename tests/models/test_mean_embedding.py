"""The mean embedding by itself: what it counts, when it moves, and what it survives."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from dragonfly.models.mean_embedding import HORIZON, MeanEmbedding


def trained() -> MeanEmbedding:
    return MeanEmbedding(4).train()


def test_it_is_the_mean_of_all_it_was_given() -> None:
    mean = MeanEmbedding(4)
    embeddings = torch.randn(30, 4)
    for part in embeddings.split([1, 9, 20]):
        mean.update(part)
    torch.testing.assert_close(mean.mean, embeddings.mean(dim=0))
    assert mean.count == 30 and mean.value() is mean.mean
    assert MeanEmbedding(4).value() is None


def test_it_moves_at_a_commit_and_not_before() -> None:
    mean, rows = trained(), torch.randn(2, 5, 4)
    mean.update(torch.ones(10, 4))
    with mean.observing():
        mean.observe(rows[0])
        mean.observe(rows[1:])  # any number of leading dimensions
    assert mean.count == 10 and torch.equal(mean.mean, torch.ones(4))
    mean.commit()
    torch.testing.assert_close(mean.mean, torch.cat([torch.ones(10, 4), rows.flatten(0, 1)]).mean(dim=0))
    assert mean.count == 20
    before = mean.mean.clone()
    mean.commit()  # nothing was observed since
    assert mean.count == 20 and torch.equal(mean.mean, before)


def test_the_first_step_is_centred_on_what_it_shows() -> None:
    mean, rows = trained(), torch.randn(6, 4)
    with mean.observing():
        mean.observe(rows[:2])
        assert mean.count == 0
        torch.testing.assert_close(mean.value(), rows[:2].mean(dim=0))
        mean.observe(rows[2:])
        torch.testing.assert_close(mean.value(), rows.mean(dim=0))


def test_only_training_is_observed() -> None:
    mean = trained()
    mean.observe(torch.ones(3, 4))
    with mean.eval().observing():
        mean.observe(torch.ones(3, 4))
    mean.commit()
    assert mean.count == 0 and mean.value() is None


def test_recomputation_is_not_counted_twice() -> None:
    mean, weight = trained(), torch.randn(4, 4, requires_grad=True)
    calls: list[int] = []

    def forward(values: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        out = values @ weight
        mean.observe(out)
        return out.sin()

    with mean.observing():
        loss = checkpoint(forward, torch.randn(7, 4), use_reentrant=False).sum()  # pyright: ignore[reportOptionalMemberAccess]
    loss.backward()
    mean.commit()
    assert len(calls) == 2 and mean.count == 7


def test_what_was_seen_long_ago_fades() -> None:
    mean = MeanEmbedding(1)
    mean.set(torch.zeros(1), 10 * HORIZON)
    assert mean.count == HORIZON
    mean.update(torch.ones(HORIZON, 1))
    torch.testing.assert_close(mean.mean, torch.tensor([0.5]))
    assert mean.count == HORIZON


def test_it_stays_in_float32_wherever_it_goes() -> None:
    mean = MeanEmbedding(4)
    mean.update(torch.full((1001, 4), 1 + 2**-12))
    holder = torch.nn.ModuleList([mean, torch.nn.Linear(4, 4)]).bfloat16()
    assert holder[1].weight.dtype == torch.bfloat16
    assert mean.mean.dtype == torch.float32 and mean.count == 1001
    torch.testing.assert_close(mean.mean, torch.full((4,), 1 + 2**-12), rtol=1e-6, atol=0)
    assert MeanEmbedding(4).to("meta").mean.is_meta
