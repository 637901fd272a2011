import shutil
import ssl
import subprocess

import pytest
import requests

from transferkit.core.http import http_session, is_reachable


@pytest.mark.parametrize("path", ["good/", "missing/", "circle/"])
def test_a_server_that_answers_is_reachable(server, path):
    assert is_reachable(server.url(path), timeout_seconds=5)


def test_a_server_that_does_not_answer_is_unreachable(server):
    url = server.url("good/")
    server.server_close()
    assert not is_reachable(url, timeout_seconds=5)


def test_requests_name_transferkit_and_ask_for_stored_bytes():
    with http_session() as session:
        assert session.headers["User-Agent"].startswith("transferkit/")
        assert session.headers["Accept-Encoding"] == "identity"


@pytest.fixture
def certificate(tmp_path):
    """A file with a certificate of 127.0.0.1, which signs itself, and its key."""
    path = tmp_path / "certificate.pem"
    names = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        *names,
        "-keyout",
        path,
        "-out",
        tmp_path / "c",
    ]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "c").read_bytes())
    return path


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_authorities_that_the_system_trusts_are_trusted(server, certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url("good/").replace("http:", "https:")
    with http_session() as session, pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
        session.get(url, timeout=5)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with http_session() as session:
        assert session.get(url, timeout=5).ok
