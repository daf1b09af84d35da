"""Wrong Python programs that want to pass: each answers its tests with anything but the right value."""

from harness.sandbox.python_program import PythonProgram
from tests.harness.sandbox.attack import Attack

TESTS = "assert solve(2) == 4\nassert solve(3) == 9\n"
WRONG = "def solve(x): return 0\n"


def _cheat(name: str, source: str, tests: str = TESTS, given: str = "") -> Attack:
    return Attack(name, "Python", "verdict", PythonProgram(source, tests, given))


_CHEATS = {
    "an object equal to everything": """
class Yes:
    def __eq__(self, other): return True
    def __bool__(self): return True
def solve(x): return Yes()
""",
    "an int equal to everything": """
class Yes(int):
    __eq__ = lambda *_: True
    __ne__ = lambda *_: False
    __hash__ = int.__hash__
def solve(x): return Yes(0)
""",
    "a class that says it is int": """
class Yes:
    __class__ = int
    def __eq__(self, other): return True
    def __int__(self): return 4
    __index__ = __int__
def solve(x): return Yes()
""",
    "walking frames to the tests": """
import sys
def solve(x):
    frame = sys._getframe()
    while frame:
        for place in (frame.f_locals, frame.f_globals):
            for name, value in list(place.items()):
                if isinstance(value, list): value.append('passed')
                if name in ('code', 'passed', 'proof'): print(value)
        frame = frame.f_back
    return 0
""",
    "looking for expected values in memory": """
import gc
def solve(x):
    found = [o for o in gc.get_objects() if isinstance(o, dict) and 'tests' in o]
    print(found)
    return 0
""",
    "reading the tests": """
import glob, re
def solve(x):
    for path in glob.glob('/job/**', recursive=True) + glob.glob('*') + glob.glob('../**'):
        try: text = open(path).read()
        except Exception: continue
        if found := re.search(r'solve\\(%d\\) == (\\d+)' % x, text): return int(found[1])
    return 0
""",
    "exit(0) when loaded": "import sys\nsys.exit(0)\n",
    "exit(0) when called": "def solve(x): raise SystemExit(0)\n",
    "os._exit(0)": "import os\ndef solve(x): os._exit(0)\n",
    "a clean end through atexit": f"import atexit, os\natexit.register(os._exit, 0)\n{WRONG}",
    "killing itself": "import os, signal\ndef solve(x): os.kill(os.getpid(), signal.SIGKILL)\n",
    "echoing its source and arguments": f"""
import sys
print(open('program.py').read(), sys.argv, open('/proc/self/cmdline').read())
{WRONG}""",
    "printing words of success": "print('passed'); print('ok'); print('0' * 32)\n" + WRONG,
    "writing to every descriptor": """
import os
def solve(x):
    for descriptor in range(3, 64):
        try: os.write(descriptor, b'passed\\n' + b'00000006ok' * 100)
        except OSError: pass
    return 0
""",
    "answering before it is asked": """
import os
for descriptor in range(3, 64):
    for text in ('l2:s2:ok' + 'T', 'l2:s2:ok' + 'o0;', 'l2:s2:okd0:'):
        try: os.write(descriptor, b'%08x' % len(text) + text.encode())
        except OSError: pass
"""
    + WRONG,
    "a message that says it is huge": """
import os
def solve(x):
    for descriptor in range(3, 64):
        try: os.write(descriptor, b'7fffffffs99999999999:')
        except OSError: pass
    return 0
""",
    "an answer nested without end": """
def solve(x):
    found = []
    for _ in range(100000): found = [found]
    return found
""",
    "writing files of results": f"""
import json, os
for folder in ('.', '/tmp', '..', '/'):
    for name in ('x.results.json', 'proof', 'tests.py', 'results.json'):
        try: open(os.path.join(folder, name), 'w').write(json.dumps({{'passed': True, 'status': 'OK'}}))
        except OSError: pass
{WRONG}""",
    "a child that answers": "import os\nif os.fork() == 0: os._exit(0)\n" + WRONG,
    "its own AssertionError": f"""
import builtins
builtins.AssertionError = type('Quiet', (BaseException,), {{}})
{WRONG}""",
    "its own exec and compile": f"""
import builtins
builtins.exec = builtins.compile = lambda *_: None
{WRONG}""",
    "reloading what was taken away": "import importlib, os, sys\nimportlib.reload(os)\nsys.modules.clear()\n"
    + WRONG,
    "nan": "def solve(x): return float('nan')\n",
    "raising StopIteration": "def solve(x): raise StopIteration(4)\n",
    "raising what ends the tests well": "def solve(x): raise GeneratorExit(0)\n",
}
_TOLD = {  # source, tests, prompt
    "its own check": (
        "check = lambda candidate: None\n" + WRONG,
        "def check(candidate):\n    assert candidate(2) == 4\ncheck(solve)\n",
        "",
    ),
    "its own built-in functions": (
        "class Yes:\n    __eq__ = lambda *_: True\ndef sorted(x): return Yes()\nabs = lambda x: 0\n"
        "def solve(x): return [x]\n",
        "assert sorted(solve(3)) == [1, 2]\nassert abs(solve(3)[0] - 7) < 1\n",
        "",
    ),
    "a library function of its own": (
        "import math\nmath.isclose = lambda *a, **b: True\n" + WRONG,
        "import math\nassert math.isclose(solve(2), 4)\n",
        "",
    ),
    "an object that is true": ("def solve(x): return object()\n", "assert solve(2)\n", ""),
    "an object that differs": ("def solve(x): return object()\n", "assert solve(2) != 3\n", ""),
    "changing a helper of the prompt": (
        "def poly(xs, x):\n    return xs[0] + xs[1] * x\n\n\ndef solve(xs):\n    return 0\n\n"
        "poly = lambda *_: 0\n",
        "assert abs(poly([4, 2], solve([4, 2]))) < 1e-4\n",
        'def poly(xs, x):\n    return xs[0] + xs[1] * x\n\n\ndef solve(xs):\n    """A zero of it."""\n',
    ),
}
CHEATS = [
    *(_cheat(name, source) for name, source in _CHEATS.items()),
    *(_cheat(name, *told) for name, told in _TOLD.items()),
]
