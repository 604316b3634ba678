"""A model that is not ours, or any under a budget: the options of a lens, and what asks through one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dragonfly.imaging import ImagePolicy
    from dragonfly.lens.asker import LensAsker

PANEL = "Look closer (a model of any family)"

Method = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        rich_help_panel=PANEL,
        help="What chooses close-ups: attention (usual), search, residual, detail, gate; to compare: downsample, random, centre.",
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="Image tokens of a question, over all calls (usual 1024); --max-new-tokens is the answer's length.",
    ),
]
MaxCalls = Annotated[int | None, typer.Option(rich_help_panel=PANEL, help="Calls of the model for a question (usual 4).")]


@dataclass(frozen=True)
class Wanted:
    """What the options say of a lens; None where they say nothing."""

    method: str | None = None
    max_tokens: int | None = None
    max_calls: int | None = None

    def needed(self, model: str | None) -> bool:
        """Whether a question goes through a lens: one of its options is given, or the model is of another family."""
        return any(value is not None for value in (self.method, self.max_tokens, self.max_calls)) or _is_other(model)

    def refuse(self, where: str) -> None:
        """ValueError if an option of a lens is given where there is none."""
        for option, value in (("--method", self.method), ("--max-tokens", self.max_tokens), ("--max-calls", self.max_calls)):
            if value is not None:
                raise ValueError(f"{option} is for a question that is asked here; leave it out {where}")

    def open(
        self, loading: Mapping[str, Any], lacking: Mapping[str, bool], policy: ImagePolicy | None = None, seed: int = 0
    ) -> LensAsker:
        """Load the model.

        Args:
            loading: as `common.loading` gives it.
            lacking: options that a lens does not have, and whether they are given.
            policy: how images are loaded; the usual way if None.
            seed: of method `random`.

        Raises:
            ValueError: for an option that a lens does not have, before the model is loaded, and as `Lens`.
        """
        from dragonfly.imaging import DEFAULT_POLICY
        from dragonfly.lens import Lens
        from dragonfly.lens.asker import LensAsker
        from dragonfly.lens.lens import DEFAULT_METHOD

        of_loading = {"--set": "overrides", "--quantize": "quantization", "--device-map": "device_map"}
        for option, given in {**{name: loading[key] for name, key in of_loading.items()}, **lacking}.items():
            if given:
                raise ValueError(
                    f"{option} is not there for a model of another family, nor with --method or a budget of tokens and calls: a "
                    "lens asks greedily, one question about one image; leave it out"
                )
        named = {"device": loading["device"], "dtype": loading["dtype"], "policy": policy or DEFAULT_POLICY}
        lens = Lens(loading["model"], self.method or DEFAULT_METHOD, seed, **named)
        budget = {"max_tokens": self.max_tokens, "max_calls": self.max_calls}
        return LensAsker(lens, **{name: value for name, value in budget.items() if value is not None})


def _is_other(model: str | None) -> bool:
    """Whether a model is of another family than ours; says nothing of what cannot be found, which loading does."""
    from dragonfly.inference.integrity import read_json
    from dragonfly.inference.loading import find_directory
    from dragonfly.installation import bundled_name

    if bundled_name(model):
        return False
    config = find_directory(model, weights=False) / "config.json"
    if not config.is_file():
        return False
    kind = read_json(config)
    return isinstance(kind, dict) and kind.get("model_type") not in (None, "dragonfly")
