"""Runs a command in a terminal, types one line of standard input whenever it asks without echo, and prints all that was seen.
The line `^C` is Ctrl-C. A terminal that shows no more what is typed in the end is an error.

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
        line = lines.pop(0)
        os.write(terminal, b"\x03" if line == "^C" else line.encode() + b"\n")
if not termios.tcgetattr(terminal)[3] & termios.ECHO:
    sys.exit("the terminal is left without echo")
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
