"""A router as the browser sees it: the package's files, a LuCI (the stand-in beside this file, or a real one), and ubus."""

import http.server
import json
import mimetypes
import pathlib
import threading

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
APP = ROOT / "openwrt/luci-app-vpmesh/htdocs"
ANSWERS = ROOT / "tests/cli"

UCODE = ROOT / "openwrt/vpmesh/files/vpmesh.uc"

PLUGIN_PAGE = """<!DOCTYPE html><script src="/ucode.js"></script>
<script>const plugin = fetch('/vpmesh.uc').then(answer => answer.text()).then(load);</script>"""

NOT_FOUND, PERMISSION_DENIED = 4, 6

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>vpmesh</title>
<script>
 const dark = matchMedia('(prefers-color-scheme: dark)').matches;
 document.documentElement.setAttribute('data-darkmode', dark);
</script>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">
<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css">
<script>window.TR = {};</script>
<script src="/luci-static/resources/cbi.js"></script>
</head><body data-page="admin-vpn-vpmesh">
<header><a class="brand" href="/">router</a><ul class="nav" id="topmenu"></ul><div id="indicators"></div></header>
<div id="maincontent" class="container"><div id="tabmenu"></div>
<script src="/luci-static/resources/luci.js"></script>
<script>
 L = new LuCI(ENVIRONMENT);
</script>
<div id="view"><script>L.require('ui').then(ui => ui.instantiateView('VIEW'));</script></div>
</div></body></html>"""


def answer(name):
    """What the daemon answers in tests/cli: one object, or a row a line after the first."""
    lines = (ANSWERS / f"{name}.answer").read_text().splitlines()
    if lines[0].startswith('{"rows"'):
        return {"rows": [json.loads(line) for line in lines[1:]], "total": len(lines) - 1}
    return json.loads(lines[0])


class Router:
    """`ubus[method]` is what `ubus call vpmesh method` answers, or a number: ubus' status. Calls are kept in `calls`.
    `uci` has the sections of /etc/config/vpmesh; None: there is no such file."""

    def __init__(self, luci=None):
        self.luci = pathlib.Path(luci) if luci else None
        self.readonly = False
        self.reset()
        router = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def give(self, code, kind, body):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                path = self.path.split("?")[0]
                if path == "/plugin":
                    return self.give(200, "text/html; charset=utf-8", PLUGIN_PAGE.encode())
                if path == "/ucode.js":
                    return self.give(200, "text/javascript", (HERE / "ucode.js").read_bytes())
                if path == "/vpmesh.uc":
                    return self.give(200, "text/plain", UCODE.read_bytes())
                if path.startswith("/page/"):
                    return self.give(200, "text/html; charset=utf-8", router.page(path.removeprefix("/page/")).encode())
                file = router.file(path)
                if not file:
                    return self.give(404, "text/plain", b"no such file")
                kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                self.give(200, kind, file.read_bytes())

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
                if self.path == "/system":
                    out, err, code = router.program(body["argv"])
                    return self.give(200, "application/json", json.dumps({"out": out, "err": err, "code": code}).encode())
                replies = [router.reply(one) for one in body] if isinstance(body, list) else router.reply(body)
                self.give(200, "application/json", json.dumps(replies).encode())

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def reset(self):
        self.ubus = {"status": answer("status-json"), "peers": answer("peers-json"), "flows": answer("flows-json"),
                     "explain": answer("explain-deny-json"), "reload": answer("reload-json")}
        self.uci = {"main": {".anonymous": False, ".type": "node", ".name": "main", ".index": 0,
                             "node": "alice/attic/gw", "private_key": "/etc/vpmesh/node.key",
                             "owner_key": "/etc/vpmesh/alice.pub", "enabled": "1",
                             "control": "/var/run/vpmesh/control.sock"}}
        self.calls = []
        # What the plugin's `system` does: argv to what is printed, what is said, and the exit code.
        self.program = lambda argv: ("", "", 255)

    def page(self, view):
        environment = {"resource": "/luci-static/resources", "base_url": "/luci-static/resources", "media": "/luci-static/bootstrap",
                       "scriptname": "/cgi-bin/luci", "pathinfo": "/admin/vpn/vpmesh", "documentroot": "/www",
                       "requestpath": ["admin", "vpn", "vpmesh"], "dispatchpath": ["admin", "vpn", "vpmesh"],
                       "pollinterval": 5, "ubuspath": "/ubus/", "sessionid": "0" * 32, "token": "0" * 32,
                       "nodespec": {"satisfied": True, "readonly": self.readonly}, "apply_rollback": 90,
                       "apply_holdoff": 4, "apply_timeout": 5, "apply_display": 1.5}
        return PAGE.replace("ENVIRONMENT", json.dumps(environment)).replace("VIEW", view)

    def file(self, path):
        relative = path.removeprefix("/luci-static/")
        if ".." in relative or relative == path:
            return None
        places = [APP / "luci-static" / relative]
        if self.luci:
            places += [self.luci / "modules/luci-base/htdocs/luci-static" / relative,
                       self.luci / "themes/luci-theme-bootstrap/htdocs/luci-static" / relative]
        else:
            places.append(HERE / "standin" / pathlib.Path(relative).name)
        return next((place for place in places if place.is_file()), None)

    def reply(self, request):
        reply = {"jsonrpc": "2.0", "id": request.get("id")}
        if request.get("method") == "list":
            return reply | {"result": {}}
        _, thing, method, arguments = request["params"]
        self.calls.append((thing, method, arguments))
        return reply | {"result": self.result(thing, method, arguments)}

    def result(self, thing, method, arguments):
        if thing == "vpmesh":
            given = self.ubus[method]
            return [given] if isinstance(given, int) else [0, given]
        if thing == "uci":
            if method == "get":
                if arguments.get("config") != "vpmesh":
                    return [0, {"values": {}}]
                if self.uci is None:
                    return [NOT_FOUND]
                return [0, {"values": self.uci}]
            if method == "changes":
                return [0, {"changes": {}}]
            return [0]
        if thing == "session" and method == "access":
            return [0, {"access": True}]
        if thing == "luci" and method == "getFeatures":
            return [0, {}]
        return [0, {}]
