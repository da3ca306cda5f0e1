r"""A GPU for the Hyper-V guest, as PowerShell scripts that can be read first.

>>> from labkit.gpupv import Spec, plan_scripts
>>> spec = Spec.parse('''
... [[gpu]]
... path = "auto"
... [[vm]]
... name = "Gaming VM"
... vhdx = 'D:\VMs\gaming.vhdx'
... ''')
>>> "10-Apply.ps1" in plan_scripts(spec)
True

Nothing here touches a host: a specification goes in, texts come out. Each name is loaded from its
module on first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.gpupv.assembly import plan_scripts
    from labkit.gpupv.doctor import diagnose_host
    from labkit.gpupv.settings import plan_settings
    from labkit.gpupv.spec import Spec

_HOME_OF = {
    "Spec": "spec",
    "diagnose_host": "doctor",
    "plan_scripts": "assembly",
    "plan_settings": "settings",
}

__all__ = ["Spec", "diagnose_host", "plan_scripts", "plan_settings"]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
