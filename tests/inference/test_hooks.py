"""What a caller may do while a batch is generated: rows of their own seeds, rows that end early; and each token's probability."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import StoppingCriteria

from dragonfly.inference import Engine, Options, Row
from dragonfly.inference.engine import Clock, conversation_of
from dragonfly.inference.options import Hooks


class _EndsSecond(StoppingCriteria):
    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.tensor([False, True])


def test_each_row_draws_by_its_own_seed_and_ends_by_its_own_criterion(engine: Engine) -> None:
    options = Options(max_new_tokens=6, temperature=1.5)
    turns = [conversation_of(Row(None, "Go on."), [])] * 2
    both = engine.answer_conversations(turns, [[], []], options, Clock(), Hooks(seeds=[3, 4]))
    alone = [engine.ask(None, "Go on.", max_new_tokens=6, temperature=1.5, seed=seed) for seed in (3, 4)]
    assert [one.token_ids for one in both] == [one.token_ids for one in alone]
    first, _ = engine.answer_conversations(turns, [[], []], options, Clock(), Hooks(seeds=[3, 4], endings=[_EndsSecond()]))
    assert first.token_ids == alone[0].token_ids


def test_an_answer_carries_the_log_probability_of_each_token(engine: Engine) -> None:
    answer = engine.ask(None, "Go on.", max_new_tokens=5)
    assert len(answer.logprobs) == len(answer.token_ids) and "logprobs" not in answer.to_dict()
    assert answer.confidence == pytest.approx(math.exp(min(answer.logprobs)))
