"""A web server on this machine, for tests of several folders."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """A web server on this machine that gives what a test put up, however badly."""

    def __init__(self):
        self.answers, self.asked, self.given = {}, [], []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(with_body=False)

            def do_GET(self):
                self.answer()

            def answer(self, with_body=True):
                server.asked.append((self.path, dict(self.headers)))
                path, _, query = self.path.partition("?")
                answer = server.answers.get(path, {"status": 404})
                answer = answer(query, self.headers) if callable(answer) else answer
                body = answer.get("body", b"")
                time.sleep(answer.get("delay", 0))
                self.send_response(answer.get("status", 200))
                self.send_header("Content-Length", str(answer.get("length", len(body))))
                for name, value in answer.get("headers", {}).items():
                    self.send_header(name, value)
                self.end_headers()
                if with_body:
                    server.given.append(path)
                    self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args):
                pass  # the other side hung up

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False  # do not wait for a slow answer that nobody awaits
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
