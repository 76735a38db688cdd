"""The worker script over a real socket, as the host speaks with it."""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "worker.py")

CODE = """
import sys

def echo(event, context):
    return event

def shout(event, context):
    print("loud")
    yield event
    yield {"id": context["invokeId"]}

def fails(event, context):
    raise KeyError("absent")
"""


class Host:
    """The host's end of one worker."""

    def __init__(self, code, handlers):
        self.folder = tempfile.TemporaryDirectory()
        with open(os.path.join(self.folder.name, "code.py"), "w", encoding="utf-8") as file:
            file.write(code)
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(60)
        path = os.path.join(self.folder.name, "s")
        listener.bind(path)
        listener.listen(1)
        self.process = subprocess.Popen([sys.executable, SCRIPT, path])
        self.connection, _ = listener.accept()
        self.connection.settimeout(60)
        listener.close()
        self.hello = self.receive()
        functions = [{"name": name, "handler": name} for name in handlers]
        load = {"codeFolder": self.folder.name, "maxPayload": 1000, "functions": functions}
        self.send(0x01, json.dumps(load).encode())

    def send(self, kind, body):
        self.connection.sendall(struct.pack(">IB", len(body) + 1, kind) + body)

    def receive(self):
        length, kind = struct.unpack(">IB", self.exactly(5))
        return kind, self.exactly(length - 1)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def call(self, number, function, payload):
        context = {"invokeId": f"i{number}"}
        header = {"function": function, "stream": True, "timeoutMs": 60000, "context": context}
        header = json.dumps(header).encode()
        self.send(0x02, struct.pack(">QI", number, len(header)) + header + payload)

    def close(self):
        self.connection.close()
        code = self.process.wait(60)
        self.folder.cleanup()
        return code


class WorkerTest(unittest.TestCase):
    def start(self, handlers, code=CODE):
        host = Host(code, handlers)
        self.addCleanup(host.close)
        return host

    def test_hello_and_load(self):
        host = self.start(["code.echo"])

        kind, body = host.hello
        self.assertEqual((kind, json.loads(body)["protocol"]), (0x11, 1))
        self.assertEqual(host.receive(), (0x12, b"{}"))

    def test_load_error_names_the_function_and_the_place(self):
        host = self.start(["code.echo", "code.absent"])

        kind, body = host.receive()

        failure = json.loads(body)
        self.assertEqual((kind, failure["function"]), (0x13, "code.absent"))
        self.assertEqual(failure["type"], "AttributeError")

    def test_result_follows_its_call(self):
        host = self.start(["code.echo"])
        host.receive()

        host.call(7, 0, b'{"a": 1}')

        kind, body = host.receive()
        self.assertEqual(kind, 0x14)
        self.assertEqual(struct.unpack(">Q", body[:8]), (7,))
        self.assertEqual(body[16:], b'{"a":1}')

    def test_stream_and_log_come_before_the_end(self):
        host = self.start(["code.shout"])
        host.receive()

        host.call(8, 0, b"1")

        frames = [host.receive() for _ in range(4)]
        head = struct.pack(">Q", 8)
        self.assertEqual(frames[0], (0x17, b"\x01\x02i8loud"))
        self.assertEqual(frames[1], (0x15, head + b"1"))
        self.assertEqual(frames[2], (0x15, head + b'{"id":"i8"}'))
        self.assertEqual((frames[3][0], frames[3][1][16:]), (0x14, b""))

    def test_cancel_of_a_generator_ends_the_call(self):
        code = "def endless(event, context):\n    while True:\n        yield 1\n"
        host = self.start(["code.endless"], code)
        host.receive()
        host.call(9, 0, b"")
        host.receive()

        host.send(0x03, struct.pack(">Q", 9))

        while True:
            kind, body = host.receive()
            if kind != 0x15:
                break
        self.assertEqual((kind, json.loads(body[16:])["kind"]), (0x16, "cancelled"))

    def test_error_tells_type_and_message(self):
        host = self.start(["code.fails"])
        host.receive()

        host.call(1, 0, b"")

        kind, body = host.receive()
        failure = json.loads(body[16:])
        self.assertEqual((kind, failure["type"]), (0x16, "KeyError"))
        self.assertEqual(failure["message"], "'absent'")
        self.assertIn('File "code.py", line', failure["stack"])

    def test_a_stale_cancel_is_ignored(self):
        host = self.start(["code.echo"])
        host.receive()

        host.send(0x03, struct.pack(">Q", 5))
        host.call(6, 0, b"2")

        self.assertEqual(host.receive()[1][16:], b"2")

    def test_the_worker_ends_with_its_socket(self):
        host = Host(CODE, ["code.echo"])
        host.receive()

        self.assertEqual(host.close(), 0)

    def test_a_stuck_worker_ends_with_its_socket(self):
        code = "import time\ndef stuck(event, context):\n    while True:\n        time.sleep(0.01)\n"
        host = Host(code, ["code.stuck"])
        host.receive()
        host.call(1, 0, b"")

        self.assertEqual(host.close(), 0)


if __name__ == "__main__":
    unittest.main()
