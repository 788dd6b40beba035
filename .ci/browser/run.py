#!/usr/bin/env python3
"""Tests the shaders in another implementation of WebGPU: headless Chromium, with Tint as the compiler and SwiftShader as
the device.

Chromium must compile every shader that the planner emits, with its uniformity analysis. Then it replays a self-test that
was recorded on llvmpipe, and must compute the same numbers. Takes some minutes after the build.

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
# The tolerance of a number, relative to the largest number of the same read.
TOLERANCE = 1e-3
TIMEOUT_SECONDS = 900
CHROMIUM = [
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
]
TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|[A-Za-z_]\w*|-?\d[\d.eE+-]*|[()\[\]{},:])')


def parse_ron(text):
    """Parses a trace of wgpu, in RON: a struct becomes a dict, a tuple a list, and a variant with fields [name, fields]."""
    tokens = TOKEN.findall(text)
    tokens.append("")
    position = 0

    def items(end):
        nonlocal position
        found, is_struct = [], False
        while tokens[position] != end:
            if tokens[position + 1] == ":":
                is_struct, name = True, tokens[position]
                position += 2
                found.append((name, value()))
            else:
                found.append(value())
            if tokens[position] == ",":
                position += 1
        position += 1
        return dict(found) if is_struct else found

    def value():
        nonlocal position
        token = tokens[position]
        position += 1
        if token in "([{":
            return items({"(": ")", "[": "]", "{": "}"}[token])
        if token[0] == '"':
            return ast.literal_eval(token)
        if token[0] in "-0123456789":
            return float(token) if any(c in token for c in ".eE") else int(token)
        if tokens[position] == "(":
            position += 1
            fields = items(")")
            content = fields[0] if isinstance(fields, list) and len(fields) == 1 else fields
            return content if token in ("Some", "PointerId") else [token, content]
        return {"None": None, "true": True, "false": False}.get(token, token)

    return value()


def split_reads(data):
    """Splits a file into the reads that it contains, each with its length in front."""
    offset, reads = 0, []
    while offset < len(data):
        (length,) = struct.unpack_from("<I", data, offset)
        reads.append(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return reads


def differences(recorded_reads, browser_reads):
    """Compares the reads of the recording with those of the browser, and returns a message for each difference."""
    if len(recorded_reads) != len(browser_reads):
        return [f"expected {len(recorded_reads)} reads, got {len(browser_reads)}"]
    messages = []
    for read, (recorded, replayed) in enumerate(zip(recorded_reads, browser_reads)):
        if len(recorded) != len(replayed):
            messages.append(f"read {read}: expected {len(recorded)} bytes, got {len(replayed)}")
            continue
        floats = [array.array("f", data) for data in (recorded, replayed)]
        largest = max((abs(v) for v in floats[0] if math.isfinite(v)), default=0.0)
        for i, (x, y) in enumerate(zip(*floats)):
            word = slice(4 * i, 4 * i + 4)
            same = recorded[word] == replayed[word] or (math.isnan(x) and math.isnan(y))
            if not same and not abs(x - y) <= TOLERANCE * largest:
                messages.append(f"read {read}, number {i}: expected {x}, got {y}")
    return messages


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the page, the shaders and the trace, and receives the results of the browser."""

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


def write_shaders_and_trace(folder):
    """Runs the tests that write all shaders and record a self-test. Returns the two folders."""
    shaders, trace = folder / "shaders", folder / "trace"
    shaders.mkdir()
    trace.mkdir()
    environment = {**os.environ, "GRADUS_SHADERS": str(shaders), "GRADUS_TRACE": str(trace)}
    for test in (["every_planned_kernel_translates"], ["records_every_check_of_the_self_test", "--", "--ignored"]):
        subprocess.run(["cargo", "test", "-q", "--all-features", "--lib", *test], check=True, cwd=HERE, env=environment)
    return shaders, trace


def main():
    chromium = shutil.which("chromium") or sys.exit("chromium not found; install it")
    with tempfile.TemporaryDirectory() as folder:
        shaders, trace = write_shaders_and_trace(pathlib.Path(folder))
        texts = [(file.name, file.read_text()) for file in sorted(shaders.glob("*.wgsl"))]
        actions = parse_ron((trace / "trace.ron").read_text().rstrip().rstrip("]") + "]")
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
        Handler.done.wait(TIMEOUT_SECONDS)
        browser.terminate()
        browser.wait()
        posted = Handler.posted
        if "/compiled" in posted:
            print(f"{posted['/compiled'].decode()} shaders compile in Chromium")
        if "/failed" in posted:
            sys.exit(posted["/failed"].decode())
        if "/reads" not in posted:
            sys.exit(f"the browser did not answer within {TIMEOUT_SECONDS} seconds")
        recorded = split_reads((trace / "reads.bin").read_bytes())
        messages = differences(recorded, split_reads(posted["/reads"]))
        for message in messages[:20]:
            print(message)
        if messages:
            sys.exit(f"{len(messages)} differences to llvmpipe")
        dispatches = json.dumps(actions).count('"DispatchWorkgroups"')
        numbers = sum(len(read) for read in recorded) // 4
        print(f"{dispatches} dispatches of the self-test compute the same {numbers} numbers as llvmpipe")


main()
