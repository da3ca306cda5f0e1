"""Failures that lie in what is on the TV: other versions, other apps, space, settings."""

from __future__ import annotations

from labkit.tv.catalogue.entry import Detail, Entry

__all__ = ["DATA_LOSS", "OTHER_APPS", "PACKAGE_MANAGER", "POLICY", "STORAGE", "UNINSTALL"]

_REPORT = "restart the TV and try again; the text above is the TV's own"
_OTHER_APP = "uninstall the app that owns it, or do without this one"
_SAVE_AND_REPLACE = (
    "keep what is installed, or save it with `labkit tv save` and install with --replace, which "
    "uninstalls it and loses its data"
)
_DOWNGRADE_HINT = (
    "--downgrade works for debug builds before Android 14; otherwise save the app with "
    "`labkit tv save` and install with --replace, which loses its data"
)
_ENABLE_INSTALLS = (
    "on the TV, switch off `Verify apps over USB` in the Developer options and Play Protect's "
    "scan; Xiaomi: switch on `Install via USB`; some TCL sets for China refuse every installation"
)
_SYSTEM_APP = "apps of the TV's own software can only be disabled: `labkit tv disable PACKAGE`"

DATA_LOSS: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_UPDATE_INCOMPATIBLE",
        "data-loss",
        "the installed app is signed by another key, and Android never updates across keys",
        _SAVE_AND_REPLACE,
        number=-7,
        aliases=("signer-mismatch",),
        details=(
            Detail(
                r"[Pp]ackage (?P<package>[\w.]+) signatures do not match",
                "the installed {package} is signed by another key, and Android never updates "
                "across keys",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_VERSION_DOWNGRADE",
        "data-loss",
        "the installed version is newer than this file",
        _DOWNGRADE_HINT,
        number=-25,
        aliases=("downgrade",),
        details=(
            Detail(
                r"Update version code (?P<new>\d+) is older than current (?P<old>\d+)",
                "this file is version {new}, and the newer version {old} is installed",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_PERMISSION_MODEL_DOWNGRADE",
        "data-loss",
        "the installed version asks for permissions in the newer way; this file is an older one",
        _DOWNGRADE_HINT,
        number=-26,
    ),
    Entry(
        "INSTALL_FAILED_SANDBOX_VERSION_DOWNGRADE",
        "data-loss",
        "the installed version runs in a newer sandbox; this file is an older one",
        _DOWNGRADE_HINT,
        number=-27,
    ),
)

STORAGE: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_INSUFFICIENT_STORAGE",
        "refused",
        "there is not enough free space on the TV",
        "free about twice the app's size: uninstall apps, or clear caches in the TV's settings; "
        "`labkit tv info` shows the free space",
        number=-4,
        patterns=(
            r"Requested internal only, but not enough space",
            r"Failed to allocate \d+ because only \d+ allocatable",
            r"No space left on device",
        ),
        aliases=("no-space", "low-space"),
    ),
    Entry(
        "INSTALL_FAILED_CONTAINER_ERROR",
        "refused",
        "the app could not be put on the TV's storage volume",
        "take the USB disk or card out, restart the TV and try again",
        number=-18,
    ),
    Entry(
        "INSTALL_FAILED_INVALID_INSTALL_LOCATION",
        "refused",
        "the app asks for a storage volume that is not allowed",
        "set apps to be stored on internal storage in the TV's settings",
        number=-19,
    ),
    Entry(
        "INSTALL_FAILED_MEDIA_UNAVAILABLE",
        "refused",
        "the storage volume for the app is not there",
        "plug the disk or card in, or set apps to be stored on internal storage",
        number=-20,
    ),
)

POLICY: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_VERIFICATION_FAILURE",
        "refused",
        "Play Protect or the TV's maker blocked the app",
        _ENABLE_INSTALLS,
        number=-22,
    ),
    Entry(
        "INSTALL_FAILED_VERIFICATION_TIMEOUT",
        "refused",
        "Play Protect did not answer in time",
        _ENABLE_INSTALLS,
        number=-21,
    ),
    Entry(
        "INSTALL_FAILED_USER_RESTRICTED",
        "refused",
        "the installation was declined on the TV, or the TV does not let adb install",
        "look at the TV's screen and allow it; Xiaomi: switch on `Install via USB`",
        number=-111,
    ),
    Entry(
        "INSTALL_FAILED_ABORTED",
        "refused",
        "the installation was stopped on the TV",
        "look at the TV's screen and try again",
        number=-115,
    ),
)

OTHER_APPS: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_CONFLICTING_PROVIDER",
        "refused",
        "another installed app provides content under the same name",
        _OTHER_APP,
        number=-13,
        details=(
            Detail(
                r".*already (?:used|owned) by (?P<owner>[\w.]+)",
                "the installed app {owner} provides content under the same name",
                "uninstall {owner}, or do without this app",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_DUPLICATE_PERMISSION",
        "refused",
        "another installed app defines a permission of the same name",
        _OTHER_APP,
        number=-112,
        details=(
            Detail(
                r".*already (?:used|owned) by (?P<owner>[\w.]+)",
                "the installed app {owner} defines a permission of the same name",
                "uninstall {owner}, or do without this app",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_DUPLICATE_PERMISSION_GROUP",
        "refused",
        "another installed app defines a permission group of the same name",
        _OTHER_APP,
        number=-126,
        details=(
            Detail(
                r".*already (?:used|owned) by (?P<owner>[\w.]+)",
                "the installed app {owner} defines a permission group of the same name",
                "uninstall {owner}, or do without this app",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_BAD_PERMISSION_GROUP",
        "refused",
        "the app puts a permission into a group that it may not use",
        _OTHER_APP,
        number=-127,
    ),
    Entry(
        "INSTALL_FAILED_SHARED_USER_INCOMPATIBLE",
        "refused",
        "the app shares its user with another app that is signed by another key",
        "get the app and its add-ons from one source",
        number=-8,
        details=(
            Detail(
                r"shared user (?P<user>[\w.]+)",
                "the app shares the user {user} with apps that are signed by another key",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_NO_SHARED_USER",
        "refused",
        "the shared user that the app asks for does not exist",
        "install the main app first",
        number=-6,
    ),
    Entry(
        "INSTALL_FAILED_UID_CHANGED",
        "refused",
        "data of an earlier installation is left over and belongs to another user",
        "uninstall the app completely, restart the TV and install again",
        number=-24,
    ),
)

PACKAGE_MANAGER: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_INVALID_URI",
        "refused",
        "the TV cannot open the file under the name that was sent (often a non-ASCII name)",
        "install it with labkit, which sends names of its own, or rename the file",
        number=-3,
    ),
    Entry(
        "INSTALL_FAILED_ALREADY_EXISTS",
        "refused",
        "the app is installed already, and replacing it was not asked for",
        "by hand it is `adb install -r`; labkit always updates",
        number=-1,
    ),
    Entry(
        "INSTALL_FAILED_REPLACE_COULDNT_DELETE",
        "refused",
        "the installed version could not be removed to make place for the new one",
        _REPORT,
        number=-10,
    ),
    Entry(
        "INSTALL_FAILED_DEXOPT",
        "refused",
        "the app's code could not be prepared, often for want of space",
        "free space on the TV and try again",
        number=-11,
    ),
    Entry(
        "INSTALL_FAILED_PACKAGE_CHANGED",
        "refused",
        "the app is not what it was expected to be when it was asked for",
        _REPORT,
        number=-23,
    ),
    Entry(
        "INSTALL_FAILED_INTERNAL_ERROR",
        "refused",
        "the TV's package manager failed",
        _REPORT,
        number=-110,
    ),
    Entry(
        "INSTALL_FAILED_SESSION_INVALID",
        "refused",
        "the TV gave the installation up half-way",
        _REPORT,
        number=-116,
    ),
    Entry(
        "INSTALL_FAILED_OTHER_STAGED_SESSION_IN_PROGRESS",
        "refused",
        "another installation waits for a restart of the TV",
        "restart the TV and try again",
        number=-119,
    ),
    Entry(
        "INSTALL_FAILED_MULTIPACKAGE_INCONSISTENCY",
        "refused",
        "an installation of several apps at once is inconsistent",
        "install the apps one by one",
        number=-120,
    ),
    Entry(
        "INSTALL_FAILED_PRE_APPROVAL_NOT_AVAILABLE",
        "refused",
        "the TV cannot ask for approval in advance",
        _REPORT,
        number=-129,
    ),
    Entry(
        "grant_denied",
        "refused",
        "the TV does not let adb grant permissions while installing",
        "install without granting; the app asks for its permissions itself",
        patterns=(
            r"INSTALL_GRANT_RUNTIME_PERMISSIONS",
            r"INSTALL_GRANT_ALL_REQUESTED_PERMISSIONS",
        ),
    ),
    Entry(
        "unknown_option",
        "local",
        "an option was used that this TV's package manager does not know",
        "leave the option out; this TV's Android is older than it",
        patterns=(r"Unknown option:? \S+",),
        details=(
            Detail(
                r"Unknown option:? (?P<option>-[\w-]+)",
                "this TV's package manager does not know the option {option}",
            ),
        ),
    ),
    Entry(
        "tv_booting",
        "unreachable",
        "the TV is still starting: its package manager does not answer yet",
        "wait a minute and try again",
        patterns=(
            r"Can't find service: package",
            r"Could not access the Package Manager",
            r"Is the system running\?",
        ),
    ),
    Entry(
        "pm_exception",
        "refused",
        "the TV's package manager failed with an exception",
        _REPORT,
        patterns=(r"Exception occurred while executing", r"Security exception:"),
    ),
)

UNINSTALL: tuple[Entry, ...] = (
    Entry(
        "not_installed",
        "usage",
        "no app of this name is installed for the TV's user",
        "`labkit tv apps` lists what is installed",
        patterns=(r"not installed for \d+", r"Unknown package: \S+"),
    ),
    Entry(
        "DELETE_FAILED_INTERNAL_ERROR",
        "refused",
        "the app cannot be uninstalled; it is usually part of the TV's own software",
        _SYSTEM_APP,
        number=-1,
    ),
    Entry(
        "DELETE_FAILED_DEVICE_POLICY_MANAGER",
        "refused",
        "the app administers the TV and cannot be uninstalled as long as it does",
        "take its administrator right in the TV's security settings first, or disable it: "
        "`labkit tv disable PACKAGE`",
        number=-2,
    ),
    Entry(
        "DELETE_FAILED_USER_RESTRICTED",
        "refused",
        "the TV's user may not uninstall apps",
        "use the owner's account, or disable the app: `labkit tv disable PACKAGE`",
        number=-3,
    ),
    Entry(
        "DELETE_FAILED_OWNER_BLOCKED",
        "refused",
        "the TV's owner blocked uninstalling this app",
        _SYSTEM_APP,
        number=-4,
    ),
    Entry(
        "DELETE_FAILED_ABORTED",
        "refused",
        "uninstalling was stopped on the TV",
        "look at the TV's screen and try again, or disable the app: `labkit tv disable PACKAGE`",
        number=-5,
    ),
    Entry(
        "DELETE_FAILED_USED_SHARED_LIBRARY",
        "refused",
        "other apps use this one as a library",
        "uninstall those first, or disable it: `labkit tv disable PACKAGE`",
        number=-6,
    ),
    Entry(
        "DELETE_FAILED_APP_PINNED",
        "refused",
        "the app is pinned to the screen",
        "unpin it on the TV, or disable it: `labkit tv disable PACKAGE`",
        number=-7,
    ),
)
