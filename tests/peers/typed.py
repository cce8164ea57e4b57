"""Runs a command in a terminal, types one line of standard input whenever it asks without echo, and prints all that was seen.

python3 typed.py COMMAND ARGUMENT…
"""

import os
import pty
import signal
import sys
import termios

PROMPTS = (b"Password of bob: ", b"Once more: ")

# Whatever goes wrong, it ends.
signal.alarm(120)
lines = sys.stdin.read().splitlines()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
while True:
    try:
        more = os.read(terminal, 1024)
    except OSError:  # Linux: the other end is closed.
        more = b""
    if not more:
        break
    seen += more
    if seen.endswith(PROMPTS):
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            os.sched_yield()
        os.write(terminal, lines.pop(0).encode() + b"\n")
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
