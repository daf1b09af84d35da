"""Programs that want to take the machine down, or to outlive their time, and how each may end."""

from tests.harness.sandbox.attack import script

_EXHAUSTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fork bomb": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        ("timeout", "memory"),
    ),
    "thread bomb": (
        "import threading, time\nwhile True:\n"
        "    try: threading.Thread(target=time.sleep, args=(60,)).start()\n    except RuntimeError: pass",
        ("timeout", "memory"),
    ),
    "memory": ("x = []\nwhile True: x.append(bytearray(1 << 20))", ("exit", "memory")),
    "memory at once": ("bytearray(1 << 36)", ("exit",)),
    "memory in children": (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = b'x' * (64 << 20)\n"
        "        time.sleep(60)\ntime.sleep(60)",
        ("memory",),
    ),
    "memory that nobody maps": (
        "import os\nfor i in range(200):\n    f = os.memfd_create('x')\n    os.ftruncate(f, 1 << 22)",
        ("exit",),
    ),
    "disk": (
        "i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').write(b'x' * (1 << 20))",
        ("exit", "disk"),
    ),
    "one large file": ("open('f', 'wb').write(b'x' * (8 << 20))", ("signal", "exit")),
    "descriptors": ("x = []\nwhile True: x.append(open('/dev/null'))", ("exit",)),
    "a flood of output": ("while True: print('x' * 10000)", ("output",)),
    "a flood of errors": ("import sys\nwhile True: sys.stderr.write('x' * 10000)", ("output",)),
    "sleeping": ("import time\ntime.sleep(60)", ("timeout",)),
    "endless work": ("while True: pass", ("timeout",)),
    "ignoring the end of its time": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        ("signal", "timeout"),
    ),
    "an orphan in a session of its own": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\nos.wait()",
        ("ok",),
    ),
    "an orphan that holds the output": ("import os, time\nif os.fork() == 0: time.sleep(600)", ("ok",)),
    "ignoring every signal": (
        "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ntime.sleep(600)",
        ("timeout",),
    ),
    "stopping itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", ("timeout",)),
}
EXHAUSTIONS = [script(name, "exhaustion", source, *ends) for name, (source, ends) in _EXHAUSTIONS.items()]
