"""Failures that lie in the app: it is for other devices, or the file is broken."""

from __future__ import annotations

from labkit.tv.catalogue.entry import Detail, Entry

__all__ = ["BROKEN", "SIGNATURE", "WRONG_DEVICE"]

_BROKEN_FILE = "download the file again, from its maker"
_OTHER_DEVICES = "the app is built for other devices; look for a build for Android TV"
_CHOOSE_ABI = (
    "choose the armeabi-v7a file (most TVs run 32-bit Android, also on 64-bit chips); "
    "`labkit tv info` shows what this TV runs"
)

WRONG_DEVICE: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_NO_MATCHING_ABIS",
        "unfit",
        "the app's native code is for another type of processor",
        _CHOOSE_ABI,
        number=-113,
        aliases=("abi-mismatch",),
    ),
    Entry(
        "INSTALL_FAILED_CPU_ABI_INCOMPATIBLE",
        "unfit",
        "the app's native code is for another type of processor",
        _CHOOSE_ABI,
        number=-16,
    ),
    Entry(
        "INSTALL_FAILED_MULTI_ARCH_NOT_MATCH_ALL_NATIVE_ABIS",
        "unfit",
        "the app wants to run 32-bit and 64-bit native code, and this TV cannot do both",
        _CHOOSE_ABI,
        number=-131,
    ),
    Entry(
        "INSTALL_FAILED_OLDER_SDK",
        "unfit",
        "the app needs a newer Android than this TV has",
        "look for an older release of the app",
        number=-12,
        aliases=("sdk-too-old",),
        details=(
            Detail(
                r"Requires newer sdk version #(?P<sdk_needed>\d+)"
                r" \(current version is #(?P<sdk_present>\d+)\)",
                "the app needs {sdk_needed}; this TV has {sdk_present}",
            ),
            Detail(
                r"Requires development platform (?P<name>\S+)",
                "the app is made for a preview of Android ({name})",
                "get a release build of the app",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_NEWER_SDK",
        "unfit",
        "the app says that it does not run on an Android as new as this",
        "look for a newer release of the app",
        number=-14,
    ),
    Entry(
        "INSTALL_FAILED_DEPRECATED_SDK_VERSION",
        "unfit",
        "the app is made for an Android so old that newer ones block it",
        "labkit asks Android 14 and newer to let it pass; else look for a newer release",
        number=-29,
        aliases=("low-target",),
        details=(
            Detail(
                r"must target at least SDK version (?P<sdk_lowest>\d+), but found (?P<sdk_own>\d+)",
                "the app is made for {sdk_own}; this TV blocks anything before {sdk_lowest}",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_MISSING_SPLIT",
        "unfit",
        "this is one part of a split app, and others are missing",
        "get the whole set: an .apks, .apkm or .xapk file",
        number=-28,
        aliases=("missing-splits",),
        details=(
            Detail(
                r"Missing split for (?P<package>[\w.]+)",
                "{package} is a split app, and parts of it are missing",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_MISSING_SHARED_LIBRARY",
        "unfit",
        "the app needs a system library that this TV does not have",
        _OTHER_DEVICES,
        number=-9,
        aliases=("missing-library",),
        details=(
            Detail(
                r"unavailable (?:static )?shared library (?P<library>[\w.]+)",
                "the app needs the system library {library}, which this TV does not have",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_MISSING_FEATURE",
        "unfit",
        "the app needs a feature that this TV does not have",
        _OTHER_DEVICES,
        number=-17,
        aliases=("missing-feature",),
        details=(
            Detail(
                r"(?P<feature>android\.(?:hardware|software)\.[\w.]*\w)",
                "the app needs {feature}, which this TV does not have",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_PROCESS_NOT_DEFINED",
        "unfit",
        "a component of the app names a process that the app does not declare",
        _OTHER_DEVICES,
        number=-122,
    ),
    Entry(
        "INSTALL_FAILED_SHARED_LIBRARY_BAD_CERTIFICATE_DIGEST",
        "unfit",
        "a library that the app needs is there, signed by another key than the app expects",
        _OTHER_DEVICES,
        number=-130,
    ),
    Entry(
        "INSTALL_FAILED_BAD_DEX_METADATA",
        "unfit",
        "a compilation profile that comes with the app does not match it",
        _OTHER_DEVICES,
        number=-117,
    ),
    Entry(
        "INSTALL_FAILED_DUPLICATE_PACKAGE",
        "unfit",
        "an app of this name is there already",
        _OTHER_DEVICES,
        number=-5,
    ),
    Entry(
        "INSTALL_FAILED_WRONG_INSTALLED_VERSION",
        "unfit",
        "this part belongs to another version than the installed one",
        "install all parts of one version together",
        number=-121,
    ),
)

BROKEN: tuple[Entry, ...] = (
    Entry(
        "INSTALL_FAILED_INVALID_APK",
        "unfit",
        "the file is damaged, or the parts do not belong together",
        _BROKEN_FILE,
        number=-2,
        details=(
            Detail(
                r"Full install must include a base package",
                "the base of the split app is missing",
                "give the base APK as well, or the whole .apks, .apkm or .xapk file",
            ),
            Detail(
                r"Split null was defined multiple times",
                "two whole apps (or bases) were sent as one",
                "give one base and its splits",
            ),
            Detail(
                r"Split (?P<split>[\w.]+) was defined multiple times",
                "the part {split} was sent twice",
                "leave one of the two; a bundletool .apks has to be filtered for the TV",
            ),
            Detail(
                r"version code (?P<own>\d+) inconsistent with (?P<other>\d+)",
                "the parts are of different versions ({own} and {other})",
                "take all parts from one release",
            ),
            Detail(
                r"Failed to extract native libraries, res=-2\b",
                "the app's native libraries are packed in a way that this Android cannot read",
                "the file was built wrongly or is damaged; get another build of it",
            ),
        ),
    ),
    Entry(
        "INSTALL_FAILED_TEST_ONLY",
        "unfit",
        "the app is marked as a test build",
        "labkit passes the flag for test builds; by hand it is `adb install -t`",
        number=-15,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_NOT_APK",
        "unfit",
        "the file is not an APK; often it is a web page saved under that name",
        _BROKEN_FILE,
        number=-100,
        aliases=("not-an-apk",),
    ),
    Entry(
        "INSTALL_PARSE_FAILED_BAD_MANIFEST",
        "unfit",
        "the app's manifest cannot be read",
        _BROKEN_FILE,
        number=-101,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_UNEXPECTED_EXCEPTION",
        "unfit",
        "reading the file failed in a way that Android did not expect",
        _BROKEN_FILE,
        number=-102,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_BAD_PACKAGE_NAME",
        "unfit",
        "the app's package name is not a valid one",
        _BROKEN_FILE,
        number=-106,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_BAD_SHARED_USER_ID",
        "unfit",
        "the app's shared user id is not a valid one",
        _BROKEN_FILE,
        number=-107,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_MANIFEST_MALFORMED",
        "unfit",
        "the app's manifest has an error in it",
        "get another build of the app; the text above names the error",
        number=-108,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_MANIFEST_EMPTY",
        "unfit",
        "the app's manifest declares no app",
        _BROKEN_FILE,
        number=-109,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_RESOURCES_ARSC_COMPRESSED",
        "unfit",
        "the app is made for Android 11 or newer and packed in a way that those refuse "
        "(resources.arsc compressed or not aligned)",
        "get a build from its maker; repacked files have to be aligned with zipalign",
        number=-124,
    ),
    Entry(
        "INSTALL_PARSE_FAILED_SKIPPED",
        "unfit",
        "Android passed the app over: it requires something that this TV does not have",
        _OTHER_DEVICES,
        number=-125,
    ),
)

SIGNATURE: tuple[Entry, ...] = (
    Entry(
        "INSTALL_PARSE_FAILED_NO_CERTIFICATES",
        "unfit",
        "the app is not signed, was altered after signing, or is signed in a way that this Android "
        "does not read",
        "`labkit tv check` shows which schemes the file is signed by; " + _BROKEN_FILE,
        number=-103,
        aliases=("unsigned", "not-signed-for-sdk", "bad-signature", "v1-signature-only"),
        details=(
            Detail(
                r"(?i)digest",
                "the app was altered after it was signed",
                _BROKEN_FILE,
            ),
            Detail(
                r"No signature found in package of version (?P<version>\d+) or newer",
                "the app has no signature of scheme v{version}, which this Android wants",
                "get a build that is signed by scheme v2 or newer",
            ),
        ),
    ),
    Entry(
        "INSTALL_PARSE_FAILED_INCONSISTENT_CERTIFICATES",
        "unfit",
        "the parts of the app, or the files in it, are signed by different keys",
        "take all parts from one source",
        number=-104,
        aliases=("mixed-signers",),
    ),
    Entry(
        "INSTALL_PARSE_FAILED_CERTIFICATE_ENCODING",
        "unfit",
        "the signing certificate cannot be read",
        _BROKEN_FILE,
        number=-105,
    ),
    Entry(
        "INSTALL_FAILED_BAD_SIGNATURE",
        "unfit",
        "the app's signature is wrong",
        _BROKEN_FILE,
        number=-118,
    ),
)
