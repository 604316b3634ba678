"""The one style of every plot (`plots.mplstyle`), as a context: `with plot_style(): ...`. Imports matplotlib when it is used."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any


def plot_style(**changes: Any) -> Any:
    """A context in which figures are made and written in the project's style; `changes` are further matplotlib settings."""
    import matplotlib

    library: Any = matplotlib
    with as_file(files("dragonfly.visualization").joinpath("plots.mplstyle")) as file:
        settings: Any = library.rc_params_from_file(file, use_default_template=False)
    return library.rc_context({**settings, **changes})
