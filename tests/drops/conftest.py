"""How the properties of labkit drops are tested."""

from __future__ import annotations

from hypothesis import settings

# The first example may load scipy; and no test asserts wall time.
settings.register_profile("drops", deadline=None)
settings.load_profile("drops")
