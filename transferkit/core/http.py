"""HTTP for all downloads; requests handles redirects, TLS and the proxies that the environment names."""

import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import ProxyManager

from .. import __version__


class _SystemTrust(HTTPAdapter):
    """Trusts the authorities of the operating system and of ``SSL_CERT_FILE``, besides those of requests."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> ProxyManager:
        return super().proxy_manager_for(proxy, ssl_context=ssl.create_default_context(), **options)


def http_session() -> requests.Session:
    """Return a session that names transferkit, and asks for files as they are stored, without compression."""
    session = requests.Session()
    session.mount("https://", _SystemTrust())
    session.headers.update({"User-Agent": f"transferkit/{__version__}", "Accept-Encoding": "identity"})
    return session


def is_reachable(url: str, *, timeout_seconds: float) -> bool:
    """Return whether the server of ``url`` answers at all; the status of the answer does not matter."""
    try:
        with http_session() as session:
            session.head(url, timeout=timeout_seconds)
    except requests.RequestException:
        return False
    return True
