"""The WebDAV backend: WsgiDAV below Cheroot. Arguments: its port, the directory it serves."""

import sys

from cheroot.wsgi import Server
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

app = WsgiDAVApp({
    "provider_mapping": {"/": FilesystemProvider(sys.argv[2])},
    "simple_dc": {"user_mapping": {"*": True}},
    "property_manager": True,
    "lock_storage": True,
    "verbose": 0,
    "logging": {"enable": False},
})
server = Server(("127.0.0.1", int(sys.argv[1])), app, numthreads=10)
try:
    server.start()
finally:
    server.stop()
