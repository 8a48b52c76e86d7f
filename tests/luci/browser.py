"""A headless Chromium, driven over its DevTools protocol: JSON messages with a zero byte behind each, through two pipes."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ["chromium-headless-shell", "chromium", "google-chrome"]
PATIENCE = 20.0


class Browser:
    def __init__(self):
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if not program:
            raise SystemExit("no Chromium here: install the package chromium-headless-shell")
        self.profile = tempfile.TemporaryDirectory(prefix="vpmesh-luci-", ignore_cleanup_errors=True)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # Chromium reads file 3 and writes file 4; numbers above both first, so that neither overwrites the other.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]

        def wire():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "about:blank"],
            preexec_fn=wire, pass_fds=(3, 4, *high), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for end in (theirs_in, theirs_out, *high):
            os.close(end)
        self.input, self.output = ours_in, ours_out
        self.numbers = itertools.count(1)
        self.buffer = b""
        self.errors = []
        self.session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def close(self):
        self.session = None
        self.send("Browser.close")
        self.process.wait(10)
        os.close(self.input)
        os.close(self.output)
        self.profile.cleanup()

    def send(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _message(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            if not select.select([self.input], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("the browser says nothing")
            self.buffer += os.read(self.input, 1 << 20)
        line, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(line)
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        return message

    def open(self, url):
        self.errors.clear()
        self.send("Page.navigate", url=url)

    def run(self, script):
        """The value of a JavaScript expression; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", str(answer)))
        return answer["result"].get("value")

    def wait(self, script):
        """Waits until an expression is true."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                value = self.run(f"Promise.resolve({script}).then(Boolean)")
            except RuntimeError as error:
                value = None
                last = error
            else:
                last = value
            if value:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"never true: {script} (last: {last}; page says: {self.errors})")
            time.sleep(0.05)

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText")

    def rows(self, selector):
        """The texts of a table's cells, without its headings."""
        return self.run(f"""[...document.querySelectorAll({json.dumps(selector + ' tr')})].slice(1)
            .map(row => [...row.cells].map(cell => cell.innerText.trim()))""")

    def click(self, selector):
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector, text):
        """Puts text into a field as a keyboard does."""
        self.run(f"(f => {{ f.focus(); f.select(); }})(document.querySelector({json.dumps(selector)}))")
        if text:
            self.send("Input.insertText", text=text)
        else:
            self.key("Backspace", 8)
        self.run("document.activeElement.dispatchEvent(new Event('change', { bubbles: true }))")

    def key(self, key, code, text=None):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def size(self, width, height, mobile=False, dark=False):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile,
                  screenWidth=width, screenHeight=height)
        self.send("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def picture(self, path):
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
