"""An internal application on the machine's network: `application.py ADDRESS PORT FILE STATUS`.

Each request that it receives is one line of JSON in FILE, written before it is answered.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS, PORT, FILE, STATUS = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        line = json.dumps({"path": self.path, "fields": dict(self.headers.items()), "body": body.decode()})
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.send_response(STATUS)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


ThreadingHTTPServer((ADDRESS, PORT), Handler).serve_forever()
