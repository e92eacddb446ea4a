"""Serve the book to a browser: `python3 serve.py` (Windows: `py serve.py`). Any Python from 3.8 on, and nothing besides.

A browser lets no Python run in a page that was opened as a file; this is the small server that it needs.
"""

import argparse
import functools
import http.server
import socket
import sys
import webbrowser
from pathlib import Path

# What a system says of these endings may be wrong, on Windows above all; WebAssembly and modules need theirs.
TYPES = {
    ".wasm": "application/wasm",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".ipynb": "application/json",
    ".whl": "application/zip",
    ".zip": "application/zip",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".md": "text/markdown; charset=utf-8",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder, each with its right type."""

    protocol_version = "HTTP/1.1"  # one connection for many files

    def guess_type(self, path):
        """The type that a browser needs, whatever the system says of it."""
        return TYPES.get(Path(path).suffix.lower()) or super().guess_type(path)

    def end_headers(self):
        """Let a browser keep what it has fetched, and ask whether it is still the same."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_):
        """Say nothing of requests."""


class Server(http.server.ThreadingHTTPServer):
    """A server that is not disturbed by a browser that turns away."""

    allow_reuse_address = sys.platform != "win32"  # there it would let two servers share a port

    def handle_error(self, request, client_address):
        """Say what went wrong, but for a connection that a page dropped when it was closed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def own_address():
    """The address of this machine in its network, without asking anybody: no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def options(words):
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent / "book", help="where index.html is")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--class", dest="for_class", action="store_true", help="let other machines of this network in")
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    return parser.parse_args(words)


def main(words):
    """Serve until Ctrl-C."""
    asked = options(words)
    if not (asked.folder / "index.html").is_file():
        sys.exit(f"There is no index.html in {asked.folder}: unzip the whole file, and start serve.py beside the folder `book`.")
    handler = functools.partial(Handler, directory=str(asked.folder))
    try:
        server = Server(("0.0.0.0" if asked.for_class else "127.0.0.1", asked.port), handler)
    except (OSError, OverflowError):
        sys.exit(f"Port {asked.port} is in use, or not allowed: choose another, such as `serve.py --port {min(asked.port, 60000) + 1}`.")
    port = server.server_address[1]
    here = f"http://127.0.0.1:{port}/"
    print(f"The book is at {here} (Ctrl-C ends this).", flush=True)
    if asked.for_class:
        print(f"For the class: http://{own_address()}:{port}/", flush=True)
    if not asked.no_browser:
        webbrowser.open(here)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nEnded.")


if __name__ == "__main__":
    main(sys.argv[1:])
