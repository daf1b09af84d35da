"""Programs that want out. One that gets what it must not says ESCAPED, or shows it in the world around it.

{folder}, {port}, {name} and {process} become what the world has (`arena.World`).
"""

from tests.harness.sandbox.attack import script

_HEAD = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def escaped(): print('ESCAPED', flush=True)
def attempt(work, *arguments):
    try:
        if work(*arguments) not in (-1, False): escaped()
    except Exception as error: print(type(error).__name__, error)
"""
_ESCAPES = {
    "loopback": "attempt(socket.create_connection, ('127.0.0.1', {port}), 1)",
    "abstract socket": "s = socket.socket(socket.AF_UNIX); attempt(s.connect, '\\0{name}')",
    "socket in a folder": "s = socket.socket(socket.AF_UNIX); attempt(s.connect, '{folder}/socket')",
    "netlink and packet sockets": """
for family in (16, 17, 38, 40, 44): attempt(socket.socket, family, socket.SOCK_RAW)""",
    "reading a file of the machine": "attempt(open, '{folder}/secret')",
    "reading root's folder": "attempt(os.listdir, '/root/.ssh'); attempt(open, '/etc/shadow')",
    "looking for tokens": """
def find():
    own = open('/proc/self/environ', 'rb').read()
    return 'FUSEGAUGE_SECRET' in str(os.environ) or b'FUSEGAUGE_SECRET' in own
attempt(find)""",
    "other processes' environments": """
def find(process):
    return b'FUSEGAUGE_SECRET' in open(f'/proc/{process}/environ', 'rb').read()
for process in [1, os.getppid(), {process}]: attempt(find, process)""",
    "other processes' memory": """
for process in [1, {process}]: attempt(open, f'/proc/{process}/mem', 'rb')""",
    "the harness's root folder": """
for path in ('/proc/{process}/root', '/proc/1/cwd/{folder}', '/proc/1/root/{folder}'):
    attempt(os.listdir, path)""",
    "killing the harness": "attempt(os.kill, {process}, 9)",
    "a signal to everyone": """
import signal
signal.signal(15, signal.SIG_IGN); attempt(lambda: os.kill(-1, 15) or False)""",
    "writing beside its folder": "attempt(open, '{folder}/written', 'w'); attempt(open, '/usr/written', 'w')",
    "a symbolic link out": """
os.symlink('{folder}', 'link'); attempt(open, 'link/secret'); attempt(open, 'link/written', 'w')""",
    "a hard link out": "attempt(os.link, '{folder}/secret', 'secret')",
    "going up": "attempt(open, '../' * 20 + '{folder}/secret')",
    "changing modes": "attempt(os.chmod, '{folder}/secret', 0o777); attempt(os.chmod, '/usr', 0o777)",
    "ptrace": "attempt(lambda: libc.ptrace(0, 0, 0, 0)); attempt(lambda: libc.ptrace(16, {process}, 0, 0))",
    "a user namespace": """
attempt(libc.unshare, 0x10000000); attempt(libc.syscall, 56, 0x10000011, 0, 0, 0, 0)""",
    "mount": """
attempt(libc.mount, b'none', b'/job', b'tmpfs', 0, None)
attempt(libc.mount, None, b'/', None, 4128, None)""",
    "chroot": "attempt(os.chroot, '.')",
    "becoming root": "attempt(lambda: os.setuid(0) or os.geteuid() == 0 and open('{folder}/secret'))",
    "gaining privileges": """
import subprocess
for program in ('su', 'mount', 'passwd', 'sudo', 'newgrp'):
    run = lambda: subprocess.run([program, '-c', 'id'], capture_output=True, timeout=1)
    attempt(lambda: b'uid=0' in run().stdout)""",
    "settings of the kernel": """
for path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/fs/cgroup/cgroup.procs'):
    attempt(open, path, 'w')""",
    "devices": """
for name in ('mem', 'kmsg', 'sda', 'vda', 'fuse', 'kvm'): attempt(open, '/dev/' + name, 'rb')
attempt(os.mknod, 'device', 0o60666, os.makedev(8, 0))""",
    "io_uring, bpf, keys, perf": """
for call in (425, 321, 250, 298, 323, 246, 310, 303): attempt(libc.syscall, call, 0, 0, 0, 0, 0)""",
    "system calls by another numbering": """
attempt(lambda: libc.syscall(0x40000000 + 57) >= 0 and escaped())""",
    "descriptors that were left open": """
for descriptor in range(3, 256):
    try: target = os.readlink(f'/proc/self/fd/{descriptor}')
    except OSError: continue
    if target.startswith(('/', 'socket:')) and not target.startswith('/proc'): escaped()""",
    "its own program": "attempt(open, sys.executable, 'r+b'); attempt(open, '/sandbox/inside.pyc', 'w')",
    "a terminal": """
import fcntl, termios
attempt(lambda: fcntl.ioctl(os.open('/dev/tty', os.O_RDWR), termios.TIOCSTI, b'x'))""",
}
ESCAPES = [script(name, "escape", _HEAD + source) for name, source in _ESCAPES.items()]
