"""`labkit tv`: the commands. Each module adds its own to the tool, when one is asked for."""

from __future__ import annotations

from labkit.cli.frame import Tool

__all__ = ["COMMANDS", "app", "tv"]

_CONNECTING, _CHECKING, _INSTALLING, _APPS, _FILES, _EXPLAINING, _KODI = (
    f"labkit.cli.tv.{module}"
    for module in ("connecting", "checking", "installing", "apps", "files", "explaining", "kodi")
)

COMMANDS: dict[str, tuple[str, str]] = {
    "connect": (_CONNECTING, "Connect to a TV, until it takes commands."),
    "pair": (_CONNECTING, "Pair with a TV's wireless debugging (Android 11 and later)."),
    "list": (_CONNECTING, "List the known and the connected TVs with their state."),
    "info": (_CONNECTING, "Show what kind of TV it is, and which files to choose for it."),
    "doctor": (
        _CONNECTING,
        "Show which adb is used, and whether the TV answers, with a fix each.",
    ),
    "check": (_CHECKING, "Say whether apps fit a TV, before anything is sent."),
    "install": (_INSTALLING, "Install apps on a TV: checks first, chooses the parts."),
    "apps": (_APPS, "List the apps on a TV."),
    "uninstall": (_APPS, "Remove an app and its data from a TV."),
    "disable": (_APPS, "Switch an app off; `enable` brings it back as it was."),
    "enable": (_APPS, "Switch an app on again."),
    "launch": (_APPS, "Start an app."),
    "save": (_APPS, "Copy an installed app into a file that `install` takes."),
    "push": (_FILES, "Copy files and folders to a TV; DEST is an absolute path there."),
    "pull": (_FILES, "Copy a file or folder from a TV."),
    "ls": (_FILES, "List a folder on a TV."),
    "explain": (_EXPLAINING, "Say what a failure means and what to do."),
    "kodi": (_KODI, "Back Kodi up and restore it."),
}
"""Name -> the module that registers the command, and its line of help."""

tv = Tool("tv", "Sideload apps to Android TVs over adb.", table=COMMANDS)
app = tv.app
