"""HTTP for all downloads; requests handles redirects, TLS and the proxies that the environment names."""

import requests

from .. import __version__


def http_session() -> requests.Session:
    """Return a session that names transferkit, and asks for files as they are stored, without compression."""
    session = requests.Session()
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
