"""The internal application server: answers 200 and keeps every request it was sent."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from message import Message

# Said to the relay only: neither may reach a sender, because no route here says `answer = "upstream"`.
ANSWER_HEADER = "X-Inside-Version"
ANSWER_BODY = b"words of the inside"


class Inside:
    """Listens from `Inside()` to `close()`."""

    def __init__(self):
        self._received: list[Message] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="inside", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def received(self) -> list[Message]:
        """Everything so far. A request is kept before it is answered, so whoever has the answer finds it here."""
        with self._lock:
            return list(self._received)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _keep(self, message: Message):
        with self._lock:
            self._received.append(message)

    def _handler(inside):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                # The relay holds bodies whole, so it always knows their length.
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                inside._keep(Message(self.command, self.path, tuple(self.headers.items()), body))
                self.send_response(200)
                self.send_header(ANSWER_HEADER, "1")
                self.send_header("Content-Length", str(len(ANSWER_BODY)))
                self.end_headers()
                self.wfile.write(ANSWER_BODY)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, *_):
                pass

        return Handler
