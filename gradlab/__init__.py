"""Gradient-stability studies: train a deep network, measure every layer, say whether its gradients flow."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.commands.run import run
    from gradlab.nn.profile import profile
    from gradlab.store.read import load

__version__ = "0.3.0"
__all__ = ["__version__", "load", "profile", "run"]

_HOMES = {"run": "gradlab.commands.run", "load": "gradlab.store.read", "profile": "gradlab.nn.profile"}


def __getattr__(name: str) -> Any:
    """Import a function when it is asked for: `load` needs no JAX, `profile` no pandas, `--help` neither."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gradlab' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
