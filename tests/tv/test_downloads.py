"""Apps by address: encrypted only, whole only."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading

import pytest

from labkit.errors import ExitCode, RefusedError, UsageError
from labkit.tv.downloads import _encrypted_session, fetch_sources


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one app, and a redirection to an unencrypted address."""

    def do_GET(self):
        """Answer."""
        if self.path.startswith("/insecure"):
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/app.apk")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b"PK" * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Stay silent."""


@pytest.fixture
def server(tmp_path, need_tool):
    """An https server on loopback; gives its address and its certificate."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [need_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{listener.server_address[1]}", certificate
        listener.shutdown()


@pytest.fixture
def session(server):
    """The session that labkit uses, which trusts the test's certificate."""
    session = _encrypted_session()
    session.trust_env = False
    session.verify = str(server[1])
    return session


def test_an_app_is_fetched_and_paths_stay(server, session, tmp_path):
    """An address becomes a file of a harmless name; a path is passed on."""
    folder = tmp_path / "in"
    folder.mkdir()
    words = [f"{server[0]}/a/%2e%2e%2fb%20c.apk?x=1", "/local/base.apk"]
    fetched, local = fetch_sources(words, folder, session=session)
    assert fetched.read_bytes() == b"PK" * 1000
    assert fetched.is_relative_to(folder)
    assert "/" not in fetched.name
    assert str(local) == "/local/base.apk"


def test_a_redirection_to_an_unencrypted_address_is_not_followed(server, session, tmp_path):
    """Encryption counts up to the last byte."""
    with pytest.raises(RefusedError) as caught:
        fetch_sources([f"{server[0]}/insecure"], tmp_path, session=session)
    assert (caught.value.code, caught.value.exit_code) == ("redirect-to-http", ExitCode.REFUSED)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a.apk", "ftp://x/a.apk", "https:///a", "file:///a"]
)
def test_only_https_is_taken(url, tmp_path):
    """Other addresses are bad usage, before anything is connected to."""
    with pytest.raises(UsageError):
        fetch_sources([url], tmp_path)
