"""labkit: a command-line toolkit for people with a home lab.

Each tool is a sub-package that is also a library: `labkit.drops`, `labkit.gopro`,
`labkit.tv`, `labkit.boot`, `labkit.gpupv`. This module imports nothing, so that
importing one tool never pays for another.
"""

__version__ = "0.1.0"
