"""A server on the loopback that does what servers do on bad days."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 1200  # more than one block


class Server(ThreadingHTTPServer):
    """Serves ``files`` by their names, and ``content`` under any other; folders say how it misbehaves.

    Attributes:
        requests: path, ``Range`` and ``If-Range`` of each so far.
        etag: of all it serves; empty for none.
        piece: bytes that are sent before the connection breaks off.
        released: set when a server that stalls shall go on.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.content, self.etag = [], CONTENT, '"one"'
        self.files, self.piece = {}, 100_000
        self.released = threading.Event()

    @property
    def ranges(self):
        return [asked for _, asked, _ in self.requests]

    def handle_error(self, request, client_address):
        """Ignore errors, since the tests let clients disconnect."""

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        nth = sum(path == self.path for path, *_ in server.requests)
        getattr(self, self.path.strip("/").split("/")[0])(nth)

    def body(self, *, ranges=True, stop=None, length=True):
        data, start = self.server.files.get(self.path.rpartition("/")[2], self.server.content), 0
        asked, fits = self.headers.get("Range"), self.headers.get("If-Range") in (None, self.server.etag)
        if ranges and asked and fits:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        if length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:stop])

    def good(self, nth):
        self.body()

    def unmeasured(self, nth):
        self.body(length=False)

    def drops(self, nth):
        self.body(stop=nth * self.server.piece)

    def drops_always(self, nth):
        self.body(stop=0 if nth > 1 else self.server.piece)

    def drops_without_ranges(self, nth):
        self.body(ranges=False, stop=self.server.piece if nth == 1 else None)

    def stalls(self, nth):
        self.body(stop=1000 if nth == 1 else None)
        if nth == 1:
            self.wfile.flush()
            self.server.released.wait(30)

    def busy(self, nth):
        self.send_error(503) if nth < 3 else self.body()

    def limited(self, nth):
        if nth > 1:
            self.body()
            return
        self.send_response(429)
        self.send_header("Retry-After", self.path.strip("/").partition("/")[2])
        self.end_headers()

    def down(self, nth):
        self.send_error(500)

    def missing(self, nth):
        self.send_error(404)

    def moved(self, nth):
        self.send_response(302)
        self.send_header("Location", "/good/a.bin")
        self.end_headers()

    def off_the_web(self, nth):
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd")
        self.end_headers()

    def circle(self, nth):
        self.send_response(302)
        self.send_header("Location", "/circle/")
        self.end_headers()

    def login(self, nth):
        page = b"<html>Please log in.</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def elsewhere(self, nth):
        if not self.headers.get("Range"):
            self.body(stop=5000 if nth == 1 else None)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(CONTENT)
