import pytest

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
