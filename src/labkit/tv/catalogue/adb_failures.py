"""Failures on the way to the TV: connection, permission, adb itself."""

from __future__ import annotations

from labkit.tv.catalogue.entry import Detail, Entry

__all__ = ["CONNECTION", "LOCAL"]

_DEBUGGING = (
    "switch the TV on and its network debugging (Developer options) too; after a restart some TVs "
    "want the switch flipped again"
)
_LOOK_AT_THE_TV = "look at the TV: allow debugging from this computer and tick `always`"
_DOCTOR = "`labkit tv doctor` shows which adb and which server are in use"

CONNECTION: tuple[Entry, ...] = (
    Entry(
        "unauthorized",
        "unauthorised",
        "the TV waits for permission to be debugged from this computer",
        _LOOK_AT_THE_TV + "; on a Philips switch to a channel first",
        patterns=(r"failed to authenticate to", r"device unauthorized"),
    ),
    Entry(
        "authorizing",
        "unauthorised",
        "the TV is checking this computer's key",
        _LOOK_AT_THE_TV,
        patterns=(r"device still authorizing",),
    ),
    Entry(
        "pair_wrong_code",
        "unauthorised",
        "the pairing code is wrong, or its dialog was closed during the exchange",
        "open the pairing dialog on the TV again and use the new code and port",
        patterns=(r"Wrong password or connection was dropped",),
    ),
    Entry(
        "pair_failed",
        "unauthorised",
        "pairing did not work: the dialog is closed, or the port is not the pairing port",
        "open Wireless debugging > Pair with code on the TV and use the address shown there",
        patterns=(
            r"(?i)unable to (?:start|create) pairing client",
            r"Failed to parse address for pairing",
            r"protocol fault \(couldn't read status message\)",
        ),
    ),
    Entry(
        "unpaired",
        "unauthorised",
        "the TV wants wireless debugging to be paired with this computer first",
        "pair it: `labkit tv pair ADDRESS:PORT CODE`, from Wireless debugging on the TV",
    ),
    Entry(
        "bad_address",
        "usage",
        "this is no address of a TV",
        "give HOST or HOST:PORT, for instance 192.168.1.20:5555",
        patterns=(r"bad port number", r"empty address"),
    ),
    Entry(
        "resolve",
        "unreachable",
        "no device of this name is known in the network",
        "give the TV's IP address; its network settings show it",
        patterns=(
            r"failed to resolve host",
            r"Name or service not known",
            r"nodename nor servname provided",
            r"\(11001\)",
        ),
    ),
    Entry(
        "conn_refused",
        "unreachable",
        "the TV is there, and nothing listens on this port: debugging is off, or the port differs",
        _DEBUGGING,
        patterns=(r"Connection refused", r"\(10061\)"),
    ),
    Entry(
        "conn_timeout",
        "unreachable",
        "nothing answers at this address",
        _DEBUGGING,
        patterns=(r"(?:Connection|Operation) timed out", r"\(10060\)"),
        details=(
            Detail(
                r"no answer within the time limit",
                "no answer comes over the connection: the TV hangs, or went off the network",
                "restart the TV if it does not react, then `labkit tv connect ADDRESS`",
            ),
        ),
    ),
    Entry(
        "no_route",
        "unreachable",
        "this computer and the TV are in different networks, or the network is down",
        "put both into one network (guest Wi-Fi keeps devices apart); on macOS allow the terminal "
        "in Privacy > Local Network",
        patterns=(r"No route to host", r"Network is unreachable", r"\(10065\)"),
    ),
    Entry(
        "many_devices",
        "usage",
        "several TVs are connected, and none was chosen",
        "choose one with --tv NAME; `labkit tv list` shows them",
        patterns=(r"more than one device",),
    ),
    Entry(
        "no_devices",
        "unreachable",
        "no TV is connected",
        "connect one: `labkit tv connect ADDRESS`",
        patterns=(r"no devices/emulators found", r"no devices found"),
    ),
    Entry(
        "not_found",
        "unreachable",
        "this TV is not connected",
        "connect it: `labkit tv connect ADDRESS`",
        patterns=(r"device '[^']*' not found", r"no such device '"),
    ),
    Entry(
        "offline",
        "unreachable",
        "the TV takes the connection and does not answer as adb",
        "switch its debugging off and on, or restart it; Android 11 and newer may want "
        "`labkit tv pair` first",
        patterns=(r"device (?:is )?offline", r"failed to connect to '?[^\s']+'?\s*$"),
    ),
    Entry(
        "pty_only",
        "refused",
        "the TV's adb is too old for this kind of command",
        "labkit does without it where it can; by hand leave `-T` out",
        patterns=(r"device only supports allocating a pty",),
    ),
)

LOCAL: tuple[Entry, ...] = (
    Entry(
        "adb_missing",
        "local",
        "there is no adb on this computer",
        "install adb (Debian: `apt install adb`); " + _DOCTOR,
        patterns=(
            r"No adb exe could be found",
            r"adb: (?:command )?not found",
            r"command not found: adb",
            r"'adb' is not recognized",
        ),
    ),
    Entry(
        "adb_too_old",
        "local",
        "this adb is too old for the command; pairing needs version 30",
        "install a newer adb; " + _DOCTOR,
        patterns=(r"unknown command (?:pair|mdns)",),
    ),
    Entry(
        "adb_server",
        "local",
        "the adb server does not start, or another program uses its port",
        _DOCTOR,
        patterns=(
            r"failed to check server version",
            r"cannot connect to daemon",
            r"ADB server didn't ACK",
            r"failed to start daemon",
            r"protocol fault \(status",
            r"Cannot mkdir '[^']*\.android'",
            r"cannot open [^\n]*adb\.\d+\.log",
        ),
    ),
    Entry(
        "not_apk_name",
        "usage",
        "adb installs only files whose name ends in .apk",
        "`labkit tv install` takes .apks, .xapk, .apkm and .zip files as they are",
        patterns=(r"filename doesn't end .apk or .apex",),
    ),
    Entry(
        "file_not_found",
        "usage",
        "there is no such file",
        "check the path",
        patterns=(r"failed to stat [^\n]*: No such file or directory", r"cannot stat '"),
    ),
    Entry(
        "adb_usage",
        "usage",
        "adb was called with the wrong arguments",
        "`labkit tv --help` lists the commands",
        patterns=(r"adb(?:\.exe)?: usage:",),
    ),
    Entry(
        "path_denied",
        "refused",
        "the TV does not allow access to this path",
        "use a folder below /sdcard; Fire OS 8 and Android 14 close Android/data to adb",
        patterns=(
            r"Permission denied",
            r"Operation not permitted",
            r"Read-only file system",
        ),
    ),
    Entry(
        "already_connected",
        "ok",
        "adb holds a connection to the TV, which says nothing about the TV's state",
        "`labkit tv list` shows the state",
        patterns=(r"^already connected to \S+\s*$",),
    ),
    Entry(
        "lost",
        "unreachable",
        "the connection to the TV was cut",
        "connect again and repeat what was cut off; `labkit tv list` shows the TV's state",
        patterns=(
            r"couldn't read from device",
            r"failed to read copy response",
            r"connect error for (?:write|create|finalize)",
            r"failed to install [^\n]*:\s*\Z",
            r"\berror: closed",
            r"Error: closed",
        ),
    ),
    Entry(
        "unknown",
        "refused",
        "the TV or adb said something that labkit does not know",
        "the whole text is shown; search for it, or report it",
    ),
    Entry(
        "success",
        "ok",
        "it worked",
        "nothing has to be done",
    ),
)
