#!/usr/bin/env python3
"""Another implementation of WebGPU: Chromium's, with Tint as its compiler and SwiftShader as its device, without a screen.

It has to compile every shader that the planner emits, with its analysis of what is uniform, and to come to the numbers of a
selftest that was recorded on llvmpipe. Takes some minutes when all is built.

    .ci/browser/run.py
"""

import array
import ast
import http.server
import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
# How far a number may be from llvmpipe's, in units of the largest of what was read at once.
TOLERANCE = 1e-3
SECONDS = 900
CHROMIUM = [
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
]
TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|[A-Za-z_]\w*|-?\d[\d.eE+-]*|[()\[\]{},:])')


def parsed(text):
    """wgpu's trace, which is RON: a struct is a dict, a tuple a list, and a variant with fields [name, fields]."""
    tokens = TOKEN.findall(text)
    tokens.append("")
    at = 0

    def items(end):
        nonlocal at
        found, named = [], False
        while tokens[at] != end:
            if tokens[at + 1] == ":":
                named, name = True, tokens[at]
                at += 2
                found.append((name, value()))
            else:
                found.append(value())
            if tokens[at] == ",":
                at += 1
        at += 1
        return dict(found) if named else found

    def value():
        nonlocal at
        token = tokens[at]
        at += 1
        if token in "([{":
            return items({"(": ")", "[": "]", "{": "}"}[token])
        if token[0] == '"':
            return ast.literal_eval(token)
        if token[0] in "-0123456789":
            return float(token) if any(c in token for c in ".eE") else int(token)
        if tokens[at] == "(":
            at += 1
            fields = items(")")
            one = fields[0] if isinstance(fields, list) and len(fields) == 1 else fields
            return one if token in ("Some", "PointerId") else [token, one]
        return {"None": None, "true": True, "false": False}.get(token, token)

    return value()


def records(data):
    """The reads in a file: the length of each, and its bytes."""
    at, found = 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def differences(ours, theirs):
    """What is not the same, as sentences."""
    if len(ours) != len(theirs):
        return [f"{len(theirs)} reads came back where {len(ours)} were recorded"]
    found = []
    for number, (a, b) in enumerate(zip(ours, theirs)):
        if len(a) != len(b):
            found.append(f"read {number}: {len(b)} bytes in place of {len(a)}")
            continue
        floats = [array.array("f", data) for data in (a, b)]
        sizes = [abs(v) for v in floats[0] if math.isfinite(v)]
        largest = max(sizes, default=0.0)
        for i, (x, y) in enumerate(zip(*floats)):
            same = a[4 * i : 4 * i + 4] == b[4 * i : 4 * i + 4] or (math.isnan(x) and math.isnan(y))
            if not same and not abs(x - y) <= TOLERANCE * largest:
                found.append(f"read {number}, number {i}: {y} in place of {x}")
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    files, trace, posted, done = {}, None, {}, threading.Event()

    def do_GET(self):
        body = self.files.get(self.path)
        if body is None and self.path.startswith("/trace/"):
            body = (self.trace / self.path.removeprefix("/trace/")).read_bytes()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html" if self.path == "/" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def do_POST(self):
        self.posted[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        if self.path in ("/reads", "/failed"):
            self.done.set()

    def log_message(self, *_):
        pass


def written(folder):
    """Has the tests write down all shaders and a selftest, and gives where."""
    shaders, trace = folder / "shaders", folder / "trace"
    for made in (shaders, trace):
        made.mkdir()
    environment = {**os.environ, "GRADUS_SHADERS": str(shaders), "GRADUS_TRACE": str(trace)}
    for test in (["everything_the_planner_emits"], ["the_checks_are_written_down", "--", "--ignored"]):
        subprocess.run(["cargo", "test", "-q", "--all-features", "--lib", *test], check=True, cwd=HERE, env=environment)
    return shaders, trace


def main():
    chromium = shutil.which("chromium") or sys.exit("no chromium here")
    with tempfile.TemporaryDirectory() as folder:
        shaders, trace = written(pathlib.Path(folder))
        texts = [(file.name, file.read_text()) for file in sorted(shaders.glob("*.wgsl"))]
        actions = parsed((trace / "trace.ron").read_text().rstrip().rstrip("]") + "]")
        Handler.trace = trace
        Handler.files = {
            "/": (HERE / "replay.html").read_bytes(),
            "/shaders.json": json.dumps(texts).encode(),
            "/actions.json": json.dumps(actions).encode(),
        }
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/"
        profile = pathlib.Path(folder) / "profile"
        browser = subprocess.Popen(
            [chromium, *CHROMIUM, f"--user-data-dir={profile}", page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        Handler.done.wait(SECONDS)
        browser.terminate()
        browser.wait()
        posted = Handler.posted
        if "/compiled" in posted:
            print(f"{posted['/compiled'].decode()} shaders compile in Chromium")
        if "/failed" in posted:
            sys.exit(posted["/failed"].decode())
        if "/reads" not in posted:
            sys.exit(f"the browser said nothing in {SECONDS} seconds")
        ours, theirs = records((trace / "reads.bin").read_bytes()), records(posted["/reads"])
        wrong = differences(ours, theirs)
        for line in wrong[:20]:
            print(line)
        if wrong:
            sys.exit(f"{len(wrong)} numbers are others than on llvmpipe")
        dispatches = json.dumps(actions).count('"DispatchWorkgroups"')
        numbers = sum(len(read) for read in ours) // 4
        print(f"{dispatches} dispatches of a selftest come to the {numbers} numbers of llvmpipe")


main()
