"""Takes its configuration the moment it changes, without asking for it.

The folder of a mounted configuration holds a link `..data` that is switched in one step when
the configuration changes. The kernel tells us about that switch (inotify), so that nothing is
polled and nothing is read half. What was taken is appended to `taken.log`, one JSON line each.
"""

import ctypes
import ctypes.util
import json
import os
import struct
import sys
import time

IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
EVENT_HEAD = struct.Struct("iIII")


def watch(folder):
    """Yields once at the start and then after each switch of the folder's files."""
    libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_MOVED_TO | IN_CREATE) < 0:
        raise OSError(ctypes.get_errno(), "inotify_add_watch", folder)
    yield
    while True:
        data = os.read(descriptor, 65536)
        names, at = set(), 0
        while at < len(data):
            _, _, _, length = EVENT_HEAD.unpack_from(data, at)
            at += EVENT_HEAD.size
            names.add(data[at : at + length].rstrip(b"\0").decode())
            at += length
        if "..data" in names:
            yield


def take(path, log):
    with open(path, encoding="utf-8") as file:
        limits = json.load(file)
    line = {"unix_nanos": time.time_ns(), "limits": limits}
    log.write(json.dumps(line) + "\n")
    log.flush()
    print("took", json.dumps(limits), flush=True)


def main():
    folder = os.environ.get("BAETYL_ROOT", "") + "/etc/watcher"
    with open("taken.log", "a", encoding="utf-8") as log:
        for _ in watch(folder):
            try:
                take(folder + "/limits.json", log)
            except (OSError, ValueError) as error:
                # The old limits stay in force; the next change is taken again.
                print("kept the old limits:", error, file=sys.stderr, flush=True)
            if not os.path.exists("ready"):
                open("ready", "w", encoding="utf-8").close()


if __name__ == "__main__":
    main()
