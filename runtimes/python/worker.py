"""Runs the Python functions of one service, one call at a time, for the runtime host.

Needs Python 3.9 and nothing but its standard library. The host starts
`worker.py <socket>` and listens on that socket; `services/runtime/src/protocol.rs` describes the
frames.

A handler is `handler(event, context)`. `event` is the payload as JSON when it is JSON, the
raw bytes when not. `context` is a dict of the caller's metadata with `serviceName`,
`functionName`, `invokeId` and `deadline_ms`. It returns bytes, which go out as they are,
`None` for an empty answer, or anything that JSON can say. It may be `async`, and generators
of both kinds stream what they yield.
"""

import contextvars
import importlib
import io
import json
import os
import select
import socket
import struct
import sys
import threading
import time
import traceback

PROTOCOL = 1

LOAD, CALL, CANCEL = 0x01, 0x02, 0x03
HELLO, LOADED, LOAD_ERROR, RESULT, CHUNK, ERROR, LOG = 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17

HEADER = struct.Struct(">IB")
CALL_ID = struct.Struct(">Q")
CALL_HEADER = struct.Struct(">QI")
OUTCOME = struct.Struct(">QQ")

# Larger frames go out in two writes instead of being copied into one.
JOINED_BYTES = 64 * 1024
MAX_LINE = 16 * 1024
MAX_STACK = 16 * 1024
MAX_MESSAGE = 4 * 1024
# How long what runs at exit may take once the host is gone.
EXIT_GRACE_SECONDS = 0.5

# The invocation that the running code belongs to. Threads of user code have no value, and
# count for the call that runs.
_invocation = contextvars.ContextVar("invocation", default=None)


class NotEncodable(Exception):
    """The function answered with something that JSON cannot say."""


class TooLarge(Exception):
    """The answer, or one value of it, is larger than what may be sent."""


class Cancelled(Exception):
    """The caller went away."""


class Context(dict):
    """What a handler gets beside its event."""

    __slots__ = ("_deadline",)

    def __init__(self, entries, timeout_ms):
        super().__init__(entries, deadline_ms=timeout_ms)
        self._deadline = time.monotonic() + timeout_ms / 1000

    def remaining_ms(self):
        """Milliseconds that are left of the call's deadline now."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


class Channel:
    """Frames to and from the host: length, kind, body."""

    def __init__(self, connection):
        self.connection = connection
        self._lock = threading.RLock()
        self._is_sending = False

    def send(self, kind, *parts):
        """Sends one frame. A host that is gone ends the process."""
        length = 1 + sum(len(part) for part in parts)
        head = HEADER.pack(length, kind)
        with self._lock:
            if self._is_sending:
                # A signal handler or finalizer that prints while a frame goes out: its line
                # would land inside of that frame.
                return
            self._is_sending = True
            try:
                if length <= JOINED_BYTES:
                    self.connection.sendall(b"".join((head, *parts)))
                    return
                self.connection.sendall(b"".join((head, *parts[:-1])))
                self.connection.sendall(parts[-1])
            except OSError:
                os._exit(0)
            finally:
                self._is_sending = False

    def receive(self):
        """Waits for one frame; `(None, b"")` when the host is gone."""
        head = self._exactly(HEADER.size)
        if head is None:
            return None, b""
        length, kind = HEADER.unpack(head)
        body = self._exactly(length - 1)
        return (None, b"") if body is None else (kind, body)

    def is_readable(self):
        """Whether a frame waits."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _exactly(self, count):
        if count == 0:
            return b""
        try:
            data = self.connection.recv(count, socket.MSG_WAITALL)
            if len(data) == count or not data:
                return data or None
            # A signal cut it short.
            whole = bytearray(data)
            while len(whole) < count:
                data = self.connection.recv(count - len(whole), socket.MSG_WAITALL)
                if not data:
                    return None
                whole += data
            return bytes(whole)
        except OSError:
            return None


class Output(io.TextIOBase):
    """Stands in for `sys.stdout` and `sys.stderr`: whole lines become frames of their call."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, worker, number):
        super().__init__()
        self._worker = worker
        self._number = number
        self._lock = threading.RLock()
        self._partial = ""
        self._owner = None
        self.buffer = BinaryOutput(self)

    def writable(self):
        return True

    def fileno(self):
        """The real descriptor, for child processes; what they write belongs to no call."""
        return self._number

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        owner = _invocation.get() or self._worker.active or ""
        with self._lock:
            if owner != self._owner:
                self.end_line()
                self._owner = owner
            whole, newline, rest = text.rpartition("\n")
            if newline:
                self._send(self._partial + whole)
                self._partial = rest
            else:
                self._partial += text
            if len(self._partial) > MAX_LINE:
                self.end_line()
        return len(text)

    def end_line(self):
        """Sends the line that was begun."""
        with self._lock:
            if self._partial:
                text, self._partial = self._partial, ""
                self._send(text)

    def _send(self, text):
        owner = (self._owner or "").encode()[:255]
        data = text.encode("utf-8", "replace")
        # A flood comes as frames of a bounded size.
        for start in range(0, max(len(data), 1), JOINED_BYTES):
            piece = data[start : start + JOINED_BYTES]
            self._worker.channel.send(LOG, bytes((self._number, len(owner))), owner, piece)


class BinaryOutput(io.RawIOBase):
    """`sys.stdout.buffer`: bytes are taken as UTF-8."""

    def __init__(self, text):
        super().__init__()
        self._text = text

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        self._text.write(data.decode("utf-8", "replace"))
        return len(data)


class Worker:
    """The functions, and the call that runs."""

    def __init__(self, channel):
        self.channel = channel
        self.active = None
        self._folder = ""
        self._functions = []
        self._max_payload = 0
        self._loop = None
        self._outputs = (Output(self, 1), Output(self, 2))

    def capture_output(self):
        """Ties what is printed to its call. Forked children write to the real descriptors:
        two processes on one channel would mix their frames."""
        real = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = self._outputs
        os.register_at_fork(after_in_child=lambda: self._release_output(*real))

    @staticmethod
    def _release_output(stdout, stderr):
        sys.stdout, sys.stderr = stdout, stderr

    def load(self, body):
        """Imports every function; says why when one cannot be."""
        request = json.loads(body)
        self._folder = request["codeFolder"]
        self._max_payload = request["maxPayload"]
        sys.dont_write_bytecode = True
        # The folder of this script is no place for user modules.
        sys.path[0] = self._folder
        for function in request["functions"]:
            try:
                self._functions.append(self._import(function["handler"]))
            except BaseException as error:
                self._end_lines()
                failure = self._describe(error, "raised")
                failure["function"] = function["name"]
                self.channel.send(LOAD_ERROR, encode_json(failure))
                return
        self._end_lines()
        self.channel.send(LOADED, b"{}")

    @staticmethod
    def _import(handler):
        module, _, name = handler.rpartition(".")
        target = getattr(importlib.import_module(module.replace("/", ".")), name)
        if not callable(target):
            raise TypeError(f"{handler} is not a function")
        return target

    def call(self, body):
        """Runs one call and sends its end."""
        call_id, length = CALL_HEADER.unpack_from(body)
        start = CALL_HEADER.size + length
        header = json.loads(body[CALL_HEADER.size : start])
        context = Context(header["context"], header["timeoutMs"])
        self.active = context.get("invokeId")
        token = _invocation.set(self.active)
        began = time.perf_counter_ns()
        try:
            event = decode(body[start:])
            function = self._functions[header["function"]]
            answer = self._run(call_id, function, event, context, header["stream"])
            kind, end = RESULT, answer
        except Cancelled:
            kind, end = ERROR, encode_json({"kind": "cancelled"})
        except NotEncodable as error:
            kind, end = ERROR, encode_json({"kind": "not_encodable", "message": str(error)})
        except TooLarge as error:
            kind, end = ERROR, encode_json({"kind": "too_large", "message": str(error)})
        except BaseException as error:
            kind, end = ERROR, encode_json(self._describe(error, "raised"))
        run_us = (time.perf_counter_ns() - began) // 1000
        self._end_lines()
        _invocation.reset(token)
        self.active = None
        self.channel.send(kind, OUTCOME.pack(call_id, run_us), end)

    def _run(self, call_id, function, event, context, is_stream):
        value = function(event, context)
        if hasattr(value, "__await__"):
            value = self._wait_for(call_id, value)
        if hasattr(value, "__aiter__"):
            self._wait_for(call_id, self._stream_async(call_id, value, is_stream))
            return b""
        if hasattr(value, "__next__"):
            self._stream(call_id, value, is_stream)
            return b""
        return self._encode(value)

    def _stream(self, call_id, values, is_stream):
        try:
            for value in values:
                if self._is_cancelled(call_id):
                    raise Cancelled
                self._send_value(call_id, value, is_stream)
        finally:
            close = getattr(values, "close", None)
            if close is not None:
                close()

    async def _stream_async(self, call_id, values, is_stream):
        try:
            async for value in values:
                self._send_value(call_id, value, is_stream)
        finally:
            close = getattr(values, "aclose", None)
            if close is not None:
                await close()

    def _send_value(self, call_id, value, is_stream):
        data = self._encode(value)
        if not is_stream and not isinstance(value, (bytes, bytearray, memoryview)):
            # The caller wants one answer: JSON values come as lines, bytes as they are.
            data += b"\n"
        self.channel.send(CHUNK, CALL_ID.pack(call_id), data)

    def _encode(self, value):
        data = encode(value)
        if len(data) > self._max_payload:
            raise TooLarge(f"{len(data)} bytes, {self._max_payload} are allowed")
        return data

    def _is_cancelled(self, call_id):
        while self.channel.is_readable():
            kind, body = self.channel.receive()
            if kind is None:
                os._exit(0)
            if kind == CANCEL and CALL_ID.unpack(body)[0] == call_id:
                return True
        return False

    def _wait_for(self, call_id, awaitable):
        """Runs the worker's event loop until the awaitable is done, or cancelled."""
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        was_cancelled = False

        async def wait():
            return await awaitable

        def on_frame():
            nonlocal was_cancelled
            if self._is_cancelled(call_id):
                was_cancelled = True
                task.cancel()

        task = self._loop.create_task(wait())
        self._loop.add_reader(self.channel.connection, on_frame)
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            if was_cancelled:
                raise Cancelled from None
            raise
        finally:
            self._loop.remove_reader(self.channel.connection)

    def _describe(self, error, kind):
        """The error as the user's code raised it: without frames that are not the user's."""
        described = traceback.TracebackException.from_exception(error)
        seen = set()
        pending = [described]
        while pending:
            each = pending.pop()
            if each is None or id(each) in seen:
                continue
            seen.add(id(each))
            frames = [frame for frame in each.stack if not is_foreign(frame.filename)]
            each.stack[:] = frames
            pending += [each.__cause__, each.__context__]
        stack = "".join(described.format())
        stack = stack.replace(self._folder.rstrip("/") + "/", "")
        cls = type(error)
        name = cls.__qualname__
        if cls.__module__ not in ("builtins", "__main__"):
            name = f"{cls.__module__}.{name}"
        try:
            message = str(error)
        except Exception:
            message = "<the error cannot be printed>"
        return {
            "kind": kind,
            "type": name,
            "message": message[:MAX_MESSAGE],
            "stack": stack[-MAX_STACK:],
        }

    def _end_lines(self):
        for output in self._outputs:
            output.end_line()


def is_foreign(filename):
    """Whether a frame is of this file, of the import system or of the event loop."""
    return (
        filename == __file__
        or filename.startswith("<frozen importlib")
        or f"{os.sep}asyncio{os.sep}" in filename
        or filename.endswith(f"{os.sep}importlib{os.sep}__init__.py")
    )


def refuse_constant(name):
    """`NaN` and `Infinity` are not JSON, whatever Python's parser thinks."""
    raise ValueError(name)


def decode(payload):
    """The payload as JSON if it is, as bytes if not."""
    try:
        return json.loads(payload, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return payload


def encode(value):
    """The bytes of an answer. What one function returns is what the next one gets as event."""
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise NotEncodable(f"{type(value).__qualname__}: {error}"[:MAX_MESSAGE]) from None


def encode_json(value):
    """A body of our own; texts may hold anything that the user's code put there."""
    return json.dumps(value).encode("ascii")


def exit_with_host(connection):
    """Ends the process when the host is gone, even while a call does not return."""
    watch = select.poll()
    watch.register(connection, getattr(select, "POLLRDHUP", 0x2000))
    watch.poll()
    # An idle worker ends by itself, with what its modules registered for that.
    time.sleep(EXIT_GRACE_SECONDS)
    os._exit(0)


def main(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    threading.Thread(target=exit_with_host, args=(connection,), daemon=True).start()
    channel = Channel(connection)
    worker = Worker(channel)
    version = ".".join(str(part) for part in sys.version_info[:3])
    hello = {"protocol": PROTOCOL, "runtime": "python3", "version": version}
    channel.send(HELLO, encode_json(hello))
    worker.capture_output()
    while True:
        kind, body = channel.receive()
        if kind is None:
            return
        if kind == CALL:
            worker.call(body)
        elif kind == LOAD:
            worker.load(body)
        # A cancel that comes after its call is stale, and later hosts may send more kinds.


if __name__ == "__main__":
    main(sys.argv[1])
