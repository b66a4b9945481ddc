"""httpx, with HTTP/1.1 switched off."""

import ssl

import httpx

from message import Message, Reply
from senders import TIMEOUT, Destination


def send(to: Destination, request: Message) -> Reply:
    context = ssl.create_default_context(cafile=str(to.authority))
    # trust_env keeps a developer's proxy settings out.
    with httpx.Client(http1=False, http2=True, verify=context, timeout=TIMEOUT, trust_env=False) as client:
        answer = client.request(
            request.method,
            f"https://{to.address}:{to.port}{request.target}",
            headers=[("Host", to.host_and_port), *request.headers],
            content=request.body,
            extensions={"sni_hostname": to.host},
        )
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status_code, answer.http_version.removeprefix("HTTP/"), headers, answer.content)
