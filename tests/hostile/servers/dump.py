"""What an application under a WSGI server can read of a request."""
import json
import sys
import urllib.parse
from wsgiref.simple_server import WSGIRequestHandler, make_server


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    env = {name: value for name, value in environ.items() if isinstance(value, str)}
    query = urllib.parse.parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    return [json.dumps({"env": env, "query": query}).encode()]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.exit(server.serve_forever())
