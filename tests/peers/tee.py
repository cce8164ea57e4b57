# Runs a stdio MCP server and logs every line that passes: tee.py LOGFILE -- COMMAND ARGS...
#
# Copies both directions byte for byte; appends {"from": "client"|"server", "line": text} per line to
# LOGFILE, each before it is passed on, so that the log has a request before its answer.
import json
import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        print("usage: tee.py LOGFILE -- COMMAND ARGS...", file=sys.stderr)
        return 2
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    child = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: child.send_signal(received))

    def note(side: str, line: bytes) -> None:
        entry = {"from": side, "line": line.decode("utf-8", "replace")}
        os.write(log, json.dumps(entry).encode() + b"\n")  # one write appends one whole line

    def copy(side: str, source: int, sink: int) -> None:
        line: list[bytes] = []  # the pieces of the line that has no end yet
        while chunk := os.read(source, 65536):
            first, *others = chunk.split(b"\n")
            line.append(first)
            for other in others:
                note(side, b"".join(line))
                line = [other]
            while chunk:
                chunk = chunk[os.write(sink, chunk) :]
        if any(line):
            note(side, b"".join(line))

    def to_child() -> None:
        try:
            copy("client", 0, child.stdin.fileno())
        except OSError:
            pass  # the child is gone
        finally:
            child.stdin.close()

    def from_child() -> None:
        try:
            copy("server", child.stdout.fileno(), 1)
        except OSError:
            child.stdout.close()  # the client is gone: let the child notice

    threading.Thread(target=to_child, daemon=True).start()
    reader = threading.Thread(target=from_child, daemon=True)
    reader.start()
    status = child.wait()
    reader.join(5)  # something the child started may keep its output open
    return status if status >= 0 else 128 - status


status = main()
sys.stderr.flush()
os._exit(status)  # the thread that reads standard input may still wait in a read
