"""Python's own HTTP/1.1 client."""

import http.client
import socket
import ssl

from message import Message, Reply
from senders import TIMEOUT, Destination


def send(to: Destination, request: Message) -> Reply:
    context = ssl.create_default_context(cafile=str(to.authority))
    connection = http.client.HTTPSConnection(to.host, to.port, timeout=TIMEOUT, context=context)
    plain = socket.create_connection((to.address, to.port), timeout=TIMEOUT)
    connection.sock = context.wrap_socket(plain, server_hostname=to.host)
    try:
        connection.request(request.method, request.target, body=request.body or None, headers=dict(request.headers))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, {11: "1.1"}.get(answer.version, "?"), headers, answer.read())
    finally:
        connection.close()
