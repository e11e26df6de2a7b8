"""Services of models, good and bad ones, for tests of their clients: a threaded HTTP server whose first path segment
says how it behaves.

    good      embeddings of the words (dimension 64), reranking by common words, in each API's own shape; the
              embeddings are a real host's where the service has an upstream
    shuffled, long, logits, once      good as well, each in its way; switch: as `mode` says
    the rest  what their names say

As a program it prints `port N` and serves until its standard input ends.
"""

import base64
import http.client
import http.server
import json
import math
import struct
import sys
import threading
import time
import urllib.parse
import zlib

DIMENSION = 64


def words(text):
    return [word.strip(".,?!").lower() for word in text.split()]


def embed(text):
    vector = [0.001] * DIMENSION
    for word in words(text):
        vector[zlib.crc32(word.encode()) % DIMENSION] += 1
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector]


def common(query, text):
    """The share of the query's words that the text has."""
    wanted = words(query)
    have = set(words(text))
    return sum(word in have for word in wanted) / len(wanted)


def items(answer):
    """What an answer lists, in each API's shape."""
    return answer if isinstance(answer, list) else answer.get("data", answer.get("results"))


def scored(answer):
    """The items of a reranker's answer, each with the name of its score."""
    return [(item, "score" if "score" in item else "relevance_score") for item in items(answer)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def send_error(self, code, message=None, explain=None):
        """What is no request of these APIs is shown where the test fails."""
        print(f"model service: {code} {message}: {self.raw_requestline!r} from {self.client_address}", file=sys.stderr)
        super().send_error(code, message, explain)

    def reply(self, status, value, headers=None):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, behaviour, *rest = urllib.parse.urlsplit(self.path).path.split("/")
        self.server.service.saw(behaviour, self.path, dict(self.headers), body)
        try:
            getattr(self, "be_" + behaviour.replace("-", "_"), self.be_good)(body, rest)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # ---- good ones ----

    def vectors(self, texts):
        if self.server.service.upstream is None:
            return [embed(text) for text in texts]
        connection = http.client.HTTPConnection(*self.server.service.upstream, timeout=300)
        connection.request("POST", "/v1/embeddings", json.dumps({"input": texts}), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return [item["embedding"] for item in answer["data"]]

    def answer_to(self, body, rest):
        if rest[-1] == "embed":
            return self.vectors(body["inputs"])
        if rest[-1] == "embeddings":
            found = self.vectors(body["input"])
            if body.get("encoding_format") == "base64":
                found = [base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() for one in found]
            return {"object": "list", "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3},
                    "data": [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(found)]}
        texts = body["texts"] if "texts" in body else body["documents"]
        scores = [common(body["query"], text) for text in texts]
        if "texts" in body:
            return [{"index": i, "score": score} for i, score in sorted(enumerate(scores), key=lambda pair: -pair[1])]
        return {"id": "x", "results": [{"index": i, "relevance_score": score}
                                       for i, score in sorted(enumerate(scores), key=lambda pair: -pair[1])]}

    def be_good(self, body, rest):
        self.reply(200, self.answer_to(body, rest))

    def be_shuffled(self, body, rest):
        answer = self.answer_to(body, rest)
        answer["data"].reverse()
        self.reply(200, answer)

    def be_long(self, body, rest):
        """Vectors that are not of unit length."""
        answer = self.answer_to(body, rest)
        for item in answer["data"]:
            item["embedding"] = [7 * number for number in item["embedding"]]
        self.reply(200, answer)

    def be_logits(self, body, rest):
        answer = self.answer_to(body, rest)
        for item, name in scored(answer):
            item[name] = 10 * item[name] - 5
        self.reply(200, answer)

    def be_once(self, body, rest):
        """429 first, then well."""
        if self.server.service.count("once") == 1:
            self.reply(429, {"error": {"message": "slow down"}}, {"Retry-After": "1"})
        else:
            self.be_good(body, rest)

    def be_switch(self, body, rest):
        getattr(self, "be_" + self.server.service.mode)(body, rest)

    # ---- bad ones ----

    def be_limited(self, body, rest):
        self.reply(429, {"error": {"message": "rate limit of the test", "type": "requests"}}, {"Retry-After": "7"})

    def be_broken(self, body, rest):
        self.reply(500, {"error": {"message": "out of\nmemory"}})

    def be_unauthorized(self, body, rest):
        self.reply(401, {"error": {"message": "wrong key sk-secret"}})

    def be_refuses(self, body, rest):
        self.reply(400, {"detail": "too many tokens"})

    def be_garbage(self, body, rest):
        self.reply(200, b"<html>it works!</html>")

    def be_empty(self, body, rest):
        self.reply(200, b"")

    def be_no_list(self, body, rest):
        self.reply(200, {"object": "list"})

    def be_fewer(self, body, rest):
        answer = self.answer_to(body, rest)
        items(answer).pop()
        self.reply(200, answer)

    def be_wider(self, body, rest):
        answer = self.answer_to(body, rest)
        answer["data"][-1]["embedding"].append(0.5)
        self.reply(200, answer)

    def be_nan(self, body, rest):
        text = json.dumps(self.answer_to(body, rest))
        self.reply(200, (text[:-4].rsplit("0.", 1)[0] + "NaN" + text[-4:]).encode())

    def be_null(self, body, rest):
        answer = self.answer_to(body, rest)
        if "data" in answer:
            for item in answer["data"]:
                item["embedding"][3] = None
        else:
            for item, name in scored(answer):
                item[name] = None
        self.reply(200, answer)

    def be_infinite(self, body, rest):
        answer = self.answer_to(body, rest)
        for item in answer.get("data", []):
            item["embedding"][3] = 3e300
        self.reply(200, answer)

    def be_zeros(self, body, rest):
        answer = self.answer_to(body, rest)
        for item in answer["data"]:
            item["embedding"] = [0.0] * DIMENSION
        self.reply(200, answer)

    def be_twice(self, body, rest):
        answer = self.answer_to(body, rest)
        for item in items(answer):
            item["index"] = 0
        self.reply(200, answer)

    def be_beyond(self, body, rest):
        answer = self.answer_to(body, rest)
        items(answer)[0]["index"] = 1000
        self.reply(200, answer)

    def be_huge(self, body, rest):
        self.reply(200, b'{"data": [' + b'[],' * 200000 + b'[]]}')

    def be_endless(self, body, rest):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b" " * 65536)

    def be_cut(self, body, rest):
        text = json.dumps(self.answer_to(body, rest)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text[:len(text) // 2])
        self.close_connection = True

    def be_silent(self, body, rest):
        self.server.service.released.wait(30)
        self.close_connection = True

    def be_slow(self, body, rest):
        time.sleep(0.3)
        self.be_good(body, rest)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go are no error here."""


class Service:
    """upstream: (address, port) of a host whose vectors are given; None: vectors of the words."""

    def __init__(self, upstream=None):
        self.upstream = upstream
        self.mode = "good"
        self.released = threading.Event()
        self.lock = threading.Lock()
        self.seen = []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.service = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def saw(self, behaviour, target, headers, body):
        with self.lock:
            self.seen.append({"behaviour": behaviour, "target": target, "headers": headers, "body": body})

    def requests(self, behaviour):
        with self.lock:
            return [one for one in self.seen if one["behaviour"] == behaviour]

    def count(self, behaviour):
        return len(self.requests(behaviour))

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.port}/{behaviour}"

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def main():
    service = Service()
    print(f"port {service.port}", flush=True)
    sys.stdin.read()
    service.stop()


if __name__ == "__main__":
    main()
