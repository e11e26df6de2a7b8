"""A collector of traces: takes spans as OTLP over HTTP in JSON, and behaves as its `mode` says."""

import http.server
import json
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        """A search API beside it, which is asked by source-http."""
        self.server.collector.saw_search(dict(self.headers))
        self.answer(200, [{"id": "a", "content": "Red cars are fast."}])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector = self.server.collector
        mode = collector.mode
        if mode == "silent":
            collector.released.wait(120)
            return
        if mode == "busy":
            self.answer(503, {})
            return
        if mode == "refuses":
            self.answer(400, {"message": "no such thing"})
            return
        collector.take(self.path, dict(self.headers), json.loads(body))
        self.answer(200, {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "one"}} if mode == "partial" else {})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go are no error here."""


class Collector:
    def __init__(self):
        self.mode = "good"
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.requests, self.spans, self.searches = [], [], []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.collector = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def saw_search(self, headers):
        with self.lock:
            self.searches.append({name.lower(): value for name, value in headers.items()})

    def take(self, path, headers, batch):
        with self.lock:
            self.requests.append({"path": path, "headers": headers, "batch": batch})
            for resource in batch["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    self.spans += scope["spans"]

    def of_trace(self, trace):
        with self.lock:
            return [span for span in self.spans if span["traceId"] == trace]

    def wait_for(self, trace, count, seconds=180):
        """Waits until so many spans of the trace have come."""
        deadline = time.monotonic() + seconds
        while len(self.of_trace(trace)) < count:
            assert time.monotonic() < deadline, self.of_trace(trace)
            time.sleep(0.05)
        return self.of_trace(trace)

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
