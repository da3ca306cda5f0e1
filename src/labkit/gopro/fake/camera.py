"""The fake camera: any dialect, any fault, on 127.0.0.1."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from labkit.gopro.address import Address
from labkit.gopro.fake.bodies import answer_file
from labkit.gopro.fake.card import Card, with_stubs
from labkit.gopro.fake.lists import media_document
from labkit.gopro.fake.pages import folder_page, root_page
from labkit.gopro.fake.server import Pause, RawServer, head
from labkit.gopro.names import Kind, Naming, kind_of, parse_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from labkit.gopro.fake.card import CardFile
    from labkit.gopro.fake.pages import Markup
    from labkit.gopro.fake.server import Piece, Request

__all__ = ["DIALECT_NAMES", "FakeCamera"]

DIALECT_NAMES = ("open-gopro", "legacy", "fusion", "html")
_PORTAL = b"<html><head><title>Welcome to Hotel Wifi</title></head><body>Log in</body></html>"
_BUSY_ANSWERS = 2
_MODELS = {
    "open-gopro": ("HERO12 Black", "H23.01.01.10.00"),
    "legacy": ("HERO5 Black", "HD5.02.02.60.00"),
    "fusion": ("Fusion", "FS1.04.01.80.00"),
}


class FakeCamera:
    """A camera on 127.0.0.1, for rehearsals and tests; a context manager.

    Args:
        card: Its files.
        dialect: What it speaks; one of `DIALECT_NAMES`.
        faults: What goes wrong; names from `labkit.gopro.fake.faults`.
        markup: Which web server's folder pages it shows.
        pages: Whether it shows folder pages beside its JSON list.
        serial: Its serial number.
        stall_s: How long a stall lasts.
        port: 0 takes a free one.

    Attributes:
        requests: Every request that came, in order.
        turbo: Whether turbo transfer is on.
        recording: What it says of itself.
        clock: Its wall clock, when it was set.
        max_concurrent: The most requests that were under way at once.
    """

    def __init__(  # noqa: PLR0913 - each is one independent trait of a camera
        self,
        card: Card,
        *,
        dialect: str = "open-gopro",
        faults: Collection[str] = (),
        markup: Markup = "civetweb",
        pages: bool = True,
        serial: str = "C3500000000789",
        stall_s: float = 60.0,
        port: int = 0,
    ) -> None:
        self.dialect = dialect
        self.faults = frozenset(faults)
        self.card = with_stubs(card) if "F25" in self.faults else card
        self.markup: Markup = markup
        self.pages = pages
        self.serial = serial
        self.stall_s = stall_s
        self.requests: list[Request] = []
        self.turbo = False
        self.recording = "F09-always" in self.faults
        self.clock: str | None = None
        self.max_concurrent = 0
        self._concurrent = 0
        self._lock = threading.Lock()
        self._asked: dict[str, int] = {}
        self._sent = 0
        self._server = RawServer(self._answer, port)

    @property
    def address(self) -> Address:
        """Where it listens; commands go to the same port."""
        return Address("127.0.0.1", self._server.port, self._server.port)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def file_requests(self, name: str | None = None) -> list[Request]:
        """Give the requests for files, or for the file `name`."""
        found = [
            request
            for request in self.requests
            if request.path.startswith(("/videos", "/DCIM")) and not request.path.endswith("/")
        ]
        return found if name is None else [r for r in found if r.path.endswith(f"/{name}")]

    # -- one request

    def _answer(self, request: Request) -> Iterator[Piece]:
        with self._lock:
            self.requests.append(request)
            count = self._asked[request.path] = self._asked.get(request.path, 0) + 1
        last: Piece = b""
        with self._counted() as others:
            if ("F31" in self.faults and others) or ("F15" in self.faults and count == 1):
                return
            if "F16" in self.faults:
                yield b"gpHttpServer: [04325594][INFO ] conn 0 @civetweb.c:17872\r\n"
            for piece in self._route(request, count):
                yield last
                last = piece
            if isinstance(last, (bytes, memoryview)) and last:
                yield last[:-1]
                last = last[-1:]
        # The client may ask for the next file as soon as it has the last byte of this one.
        yield last

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """Count the requests that are under way; gives the number of others."""
        with self._lock:
            others = self._concurrent
            self._concurrent += 1
            self.max_concurrent = max(self.max_concurrent, self._concurrent)
        try:
            yield others
        finally:
            with self._lock:
                self._concurrent -= 1

    def _route(self, request: Request, count: int) -> Iterable[Piece]:
        path = request.path
        if "F19" in self.faults:
            return _reply(200, _PORTAL, "text/html")
        if "F19-redirect" in self.faults:
            return [head(302, {"Location": "http://127.0.0.2/login", "Content-Length": 0})]
        if path.startswith("/gp/gpControl"):
            return self._legacy_command(request)
        if path.startswith("/gp/"):
            return self._legacy_list(request, count)
        if path.startswith("/gopro/"):
            return self._open_gopro(request, count)
        return self._web(request, count)

    # -- the dialects

    def _open_gopro(self, request: Request, count: int) -> Iterable[Piece]:
        if self.dialect != "open-gopro":
            return _not_found()
        if "delete" in request.path:
            return _reply(400, b"{}", "application/json")
        answers: dict[str, Callable[[], Iterable[Piece]]] = {
            "/gopro/media/list": lambda: self._list(request, count),
            "/gopro/version": lambda: _json({"version": "2.0"}),
            "/gopro/camera/info": lambda: _json(self._info() | {"model_number": "62"}),
            "/gopro/camera/state": lambda: _json(self._state()),
            "/gopro/camera/get_date_time": lambda: _json(_open_gopro_time()),
            "/gopro/camera/set_date_time": lambda: self._set_clock(request),
            "/gopro/media/turbo_transfer": lambda: self._set_turbo(request),
            "/gopro/media/info": lambda: self._media_info(request),
        }
        return answers.get(request.path, _not_found)()

    def _legacy_list(self, request: Request, count: int) -> Iterable[Piece]:
        path = request.path
        if path == "/gp/gpMediaList" and self.dialect == "legacy":
            return self._list(request, count)
        if path == "/gp/gpMediaListEx" and self.dialect == "fusion":
            return self._list(request, count)
        if path == "/gp/gpMediaMetadata":
            return self._media_info(request)
        if path == "/gp/gpTurbo" and self.dialect != "html":
            return self._set_turbo(request)
        return _not_found()

    def _legacy_command(self, request: Request) -> Iterable[Piece]:
        if "F18" in self.faults:
            return [Pause(self.stall_s)]
        if "F17" in self.faults:
            return [b"HTTP/1.1 \xff\xfbAllow: GET\r\n\r\n"]
        if self.dialect in {"html", "open-gopro"}:
            return _not_found()
        answers: dict[str, Callable[[], Iterable[Piece]]] = {
            "/gp/gpControl/info": lambda: _json({"info": self._info() | {"model_number": 19}}),
            "/gp/gpControl/status": lambda: _json(self._state()),
            "/gp/gpControl/command/setup/date_time": lambda: self._set_clock(request),
        }
        return answers.get(request.path, _not_found)()

    def _web(self, request: Request, count: int) -> Iterable[Piece]:
        roots = {"/videos/DCIM": self._first_card, "/videos2/DCIM": self._second_card}
        if self.dialect == "html":
            roots["/DCIM"] = self._first_card
        for root, card in roots.items():
            if request.path == root:
                return [head(301, {"Location": f"{root}/", "Content-Length": 0})]
            if request.path.startswith(f"{root}/"):
                return self._below(request, request.path[len(root) + 1 :], card(), count)
        return _not_found()

    def _below(
        self, request: Request, rest: str, files: list[CardFile], count: int
    ) -> Iterable[Piece]:
        folder, slash, name = unquote(rest).partition("/")
        if name:
            return self._file(request, folder, name, count)
        if not self.pages and self.dialect != "html":
            return _not_found()
        if not rest:
            folders = dict.fromkeys(file.folder for file in files)
            return _reply(200, root_page(request.path, folders, self.markup), "text/html")
        if not slash:
            return [head(301, {"Location": f"{request.path}/", "Content-Length": 0})]
        there = (file for file in files if not self._is_gone(file))
        inside = [file for file in there if file.folder == folder]
        page = folder_page(request.path, inside, self.markup, hostile="F39" in self.faults)
        return _reply(200, page, "text/html") if inside else _not_found()

    def _first_card(self) -> list[CardFile]:
        if self.dialect != "fusion":
            return self.card.files
        return [file for file in self.card.files if not file.folder.endswith("FRNT")]

    def _second_card(self) -> list[CardFile]:
        if self.dialect != "fusion":
            return []
        return [file for file in self.card.files if file.folder.endswith("FRNT")]

    # -- what is asked for

    def _list(self, request: Request, count: int) -> Iterable[Piece]:
        if "F09-always" in self.faults or ("F09" in self.faults and count <= _BUSY_ANSWERS):
            return _busy()
        if "F14-404" in self.faults:
            return _not_found()
        if "F33" in self.faults and not request.query:
            return [head(301, {"Location": f"{request.path}?again", "Content-Length": 0})]
        document = media_document(self.card, self.faults, first=count == 1)
        if self.dialect == "fusion":
            cards = [Card(self._first_card()), Card(self._second_card())]
            return _json([media_document(card, self.faults, first=True) for card in cards])
        return _json(document)

    def _file(self, request: Request, folder: str, name: str, count: int) -> Iterable[Piece]:
        file = self.card.find(folder, name)
        if file is None or self._is_gone(file):
            return _not_found()
        if "F09" in self.faults and count == 1:
            return _busy()
        if "F07-etag" in self.faults and count > 1 and isinstance(file.content, bytes):
            quarter, half = file.size // 4, file.size // 2
            turned = file.content[quarter:half][::-1]
            content = file.content[:quarter] + turned + file.content[half:]
            file = replace(file, content=content)
        total = sum(each.size for each in self.card.files)
        pieces = answer_file(file, request, self.faults, first=count == 1, stall_s=self.stall_s)
        return self._until_death(pieces, total * 9 // 10) if "F20" in self.faults else pieces

    def _until_death(self, pieces: Iterable[Piece], limit: int) -> Iterator[Piece]:
        """Send until the camera has sent `limit` bytes in all; then it is dead."""
        for piece in pieces:
            if isinstance(piece, (bytes, memoryview)):
                room = limit - self._sent
                self._sent += len(piece)
                if len(piece) > room:
                    yield piece[: max(0, room)]
                    yield Pause(0)  # the piece before it goes out first
                    self._server.die()
                    return
            yield piece

    def _is_gone(self, file: CardFile) -> bool:
        if "F10" not in self.faults:
            return False
        photos = [f for f in self.card.files if kind_of(f.name) is Kind.PHOTO]
        frames = [f for f in photos if parse_name(f.name).naming is Naming.GROUP]
        singles = [f for f in photos if parse_name(f.name).naming is not Naming.GROUP]
        return file in (singles[-1:] + frames[1:2])

    def _set_clock(self, request: Request) -> Iterable[Piece]:
        self.clock = request.query
        return _json({})

    def _set_turbo(self, request: Request) -> Iterable[Piece]:
        self.turbo = request.query == "p=1"
        return _json({})

    def _media_info(self, request: Request) -> Iterable[Piece]:
        if "%2F" in request.query or "%2f" in request.query:
            return _reply(400, b"{}", "application/json")
        if "F37" in self.faults:
            return _not_found()
        folder, _, name = unquote(request.query.partition("=")[2].partition("&")[0]).partition("/")
        file = self.card.find(folder, name)
        if file is None:
            return _not_found()
        return _json({"cre": str(file.created), "s": str(file.size % 2**32), "dur": "1"})

    def _info(self) -> dict[str, object]:
        model, firmware = _MODELS[self.dialect]
        return {
            "model_name": model,
            "firmware_version": firmware,
            "serial_number": self.serial,
            "ap_ssid": "GP00000000",
        }

    def _state(self) -> dict[str, object]:
        now = datetime.now(UTC).astimezone()
        parts = (now.year - 2000, now.month, now.day, now.hour, now.minute, now.second)
        kinds = [kind_of(file.name) for file in self.card.files]
        status = {
            "6": 0,
            "8": int(self.recording),
            "10": int(self.recording),
            "33": 0,
            "38": kinds.count(Kind.PHOTO),
            "39": kinds.count(Kind.VIDEO),
            "40": "".join(f"%{part:02X}" for part in parts),
            "54": 25_630_304,
            "70": 87,
            "113": int(self.turbo),
        }
        return {"status": status, "settings": {}}


def _open_gopro_time() -> dict[str, object]:
    now = datetime.now().astimezone()
    return {"date": f"{now:%Y_%m_%d}", "time": f"{now:%H_%M_%S}", "tzone": 0, "dst": 0}


def _json(document: object) -> list[Piece]:
    return _reply(200, json.dumps(document).encode(), "application/json")


def _reply(status: int, body: bytes, content_type: str) -> list[Piece]:
    return [head(status, {"Content-Type": content_type, "Content-Length": len(body)}), body]


def _not_found() -> list[Piece]:
    return _reply(404, b"Error 404: Not Found", "text/plain")


def _busy() -> list[Piece]:
    return _reply(503, b'{\n  "message": "Camera is busy"\n}', "application/json")
