"""What an agent that wants around its sidecar tries: Python programs that print what came of it.

Each prints one word or line. They are given to a container's Python as text, so they stand alone.
"""

UDP = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as probe:
    probe.settimeout(2)
    try:
        probe.connect((sys.argv[1], int(sys.argv[2])))
        for _ in range(2):  # the refusal of the first send may only reach the second
            probe.send(b"hello")
        probe.recv(1)
        print("answered")
    except (PermissionError, ConnectionRefusedError):
        print("refused")
    except TimeoutError:
        print("silent")
"""
TCP = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10):
        print("connected")
except (PermissionError, ConnectionRefusedError, ConnectionResetError):
    print("refused")
"""
WHOSE_CERTIFICATE = """
import os, socket, ssl, sys
if len(sys.argv) > 2:
    try:
        os.setgid(int(sys.argv[2]))
        os.setuid(int(sys.argv[2]))
    except PermissionError:
        sys.exit(print("not permitted"))
context = ssl.create_default_context()
try:
    with socket.create_connection((sys.argv[1], 443), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=sys.argv[1]):
            print("ours")
except ssl.SSLCertVerificationError:
    print("the provider's own")
"""
"""In the bundle there is our root, and not the provider's."""

FRAME = """
import socket, struct, sys
try:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
except PermissionError:
    sys.exit(print("not permitted"))
source, target = map(socket.inet_aton, sys.argv[1:3])
payload = b"written by hand"
udp = struct.pack("!HHHH", 40000, 443, 8 + len(payload), 0) + payload
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, source, target)
total = sum(struct.unpack("!10H", head))
while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
macs = bytes.fromhex("020000000001") + bytes.fromhex("020000000002")
link.bind(("eth0", 0))
link.send(macs + b"\\x08\\x00" + head + udp)
print("sent")
"""
"""An Ethernet frame with a datagram to UDP port 443, from `sys.argv[1]` to `sys.argv[2]`."""

RAW_IP = """
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()
    print("permitted")
except PermissionError:
    print("not permitted")
"""
LOOK_INTO = """
import os, pathlib, sys
user = int(sys.argv[1])
if user:
    os.setgid(user)
    os.setuid(user)
found = []
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if process.name == str(os.getpid()):
        continue  # it has the word, too
    try:
        if sys.argv[2].encode() in (process / "cmdline").read_bytes().split(b"\\0"):
            found.append(process)
    except OSError:
        pass
print(len(found), "found")
for process in found:
    for name in ("environ", "mem", "maps", "auxv", "syscall"):
        try:
            with (process / name).open("rb") as file:
                if name == "mem":
                    file.seek(0x10000)
                file.read(1)
            print("read", name)
        except OSError:
            pass
    for name in ("root", "cwd", "exe", "fd/0", "fd/1", "fd/2", "fd/3"):
        try:
            print("followed", name, os.readlink(process / name))
        except OSError:
            pass
"""
"""Prints what of the processes with a word in their command line opens to a user of `sys.argv[1]`;
0 is whoever runs this."""

FIND = """
import os, sys
words = [word.encode() for word in sys.argv[2:]]
mounts = {line.split()[1] for line in open("/proc/mounts")}
image = ("/proc", "/sys", "/dev/null", *sys.argv[1].split(":"))
for top in {"/run", *(m for m in mounts if m != "/" and not m.startswith(image))}:
    for folder, inner, files in os.walk(top):
        inner[:] = [name for name in inner if not os.path.join(folder, name).startswith(image)]
        for name in files:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and any(w in open(path, "rb").read() for w in words):
                    print(path)
            except OSError:
                pass
    if os.path.isfile(top) and any(w in open(top, "rb").read() for w in words):
        print(top)
"""
"""Prints the files outside of the image (folders of it are given) that hold one of the words."""
