"""A pytest plugin: the `httpbin` of requests' tests is the server at JUDGES_URL, and nothing leaves this machine.

Names other than loopback do not resolve, addresses other than loopback cannot be dialled.
"""

import errno
import ipaddress
import os
import socket

import pytest
import requests.adapters

for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would go before what the tests trust
    os.environ.pop(variable, None)
if os.environ.get("JUDGES_TRUST"):
    requests.adapters.DEFAULT_CA_BUNDLE_PATH = os.environ["JUDGES_TRUST"]


class Server:
    url = os.environ["JUDGES_URL"]


@pytest.fixture
def httpbin():
    return Server()


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


resolve, connect = socket.getaddrinfo, socket.socket.connect


def getaddrinfo(host, *more, **named):
    if host is not None and not is_loopback(host if isinstance(host, str) else host.decode("latin-1")):
        raise socket.gaierror(socket.EAI_NONAME, "the judges resolve nothing")
    return resolve(host, *more, **named)


def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
        raise OSError(errno.ENETUNREACH, "the judges dial loopback only")
    return connect(self, address)


socket.getaddrinfo = getaddrinfo
socket.socket.connect = guarded
