"""Pairs of model and processor, built once per family."""

from functools import cache
from typing import Any

import pytest

from tests.lens.family_models import FAMILIES

NUMPY = "ignore:__array__ implementation:DeprecationWarning"  # PaliGemma's and GLM-4V's processors turn tensors into arrays


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "paligemma" in item.name or "glm4v" in item.name:
            item.add_marker(pytest.mark.filterwarnings(NUMPY))


BUDGETS = {"qwen2_5_vl": 800, "qwen3_vl": 800, "llava_next": 800, "llava_onevision": 800, "glm4v": 800}
"""Visual tokens with which every method of a tiny family can look closer at an image of some 700 pixels; 300 of the others."""


@cache
def pair_of(family: str) -> tuple[Any, Any]:
    return FAMILIES[family]()


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pair(family: str) -> tuple[Any, Any]:
    return pair_of(family)


@pytest.fixture
def budget(family: str) -> int:
    return BUDGETS.get(family, 300)
