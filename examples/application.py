#!/usr/bin/env python3
"""An application that takes webhooks from the relay and checks the relay's own signature (`sign_with`).

    SECRET_FILE=/etc/app/inside python3 application.py 127.0.0.1:8080

It is short on purpose; what matters is `genuine`. The signature is that of Standard Webhooks, so a library of theirs does as well.
"""

import base64
import hashlib
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: The relay signs each attempt when it sends it, so a few minutes of difference between clocks are enough.
TOLERANCE = 300
LARGEST = 25 * 1024 * 1024


def key():
    """The secret as `sign_with` reads it: `whsec_` and base64, or else the bytes themselves."""
    text = Path(os.environ["SECRET_FILE"]).read_text().strip()
    return base64.b64decode(text[6:]) if text.startswith("whsec_") else text.encode()


def genuine(headers, body):
    """Whether the relay sent exactly this, just now."""
    identity, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > TOLERANCE:
        return False
    signed = b".".join([identity.encode(), moment.encode(), body])
    expected = base64.b64encode(hmac.new(key(), signed, hashlib.sha256).digest()).decode()
    # Two secrets while one is rotated: two signatures, apart by a blank.
    given = [value[3:] for value in headers.get("webhook-signature", "").split() if value.startswith("v1,")]
    return any(hmac.compare_digest(expected, value) for value in given)


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Requests that were done. A real application keeps these ids in its database, in the transaction that does the work:
    #: delivery is at least once, and a repeated request has the same `webhook-id`.
    done = set()

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > LARGEST:
            # The rest of the body stays unread.
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        if not genuine(self.headers, body):
            return self.answer(401)
        identity = self.headers["webhook-id"]
        if identity not in self.done:
            print(f"{self.path}: {len(body)} bytes, attempt {self.headers.get('relay-attempt')}", flush=True)
            self.done.add(identity)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing: `do_POST` says what was done."""


if __name__ == "__main__":
    host, port = sys.argv[1].rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Application)
    print("listening on {}:{}".format(*server.server_address), flush=True)
    server.serve_forever()
