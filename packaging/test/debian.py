"""A fresh Debian root to try packages in, and what is asked of hookbox inside it."""
import http.client
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BASE = REPOSITORY / "target/package/debian.tar"
# With shells and manual pages; only what completes needs it.
SHELLS = REPOSITORY / "target/package/debian-shells.tar"
PACKAGES = {BASE: "systemd,ca-certificates", SHELLS: "systemd,ca-certificates,bash-completion,zsh,fish"}
CONFIG = "/etc/hookbox/hookbox.toml"
SOCKET = "/run/hookbox/admin.sock"
TIMEOUT_S = 3600
SOON_S = 120


def run(*command, check=True, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=TIMEOUT_S, **more)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def until(what, ask):
    """Asks until the answer is something; gives it."""
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def post(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/in/app", body)
    answer = connection.getresponse()
    assert answer.status == 202, f"{answer.status} {answer.read()}"
    return json.loads(answer.read())["id"]


def names_the_loader_that_it_needs(package, program):
    """dpkg-shlibdeps looks at symbols. The packed form of addresses is none, and an older loader refuses the program."""
    depends = run("dpkg-deb", "-f", package, "Depends").stdout.strip()
    if b"GLIBC_ABI_DT_RELR" in program.read_bytes():
        assert "libc6 (>= 2.36)" in depends.split(", "), depends
    print(f"depends on {depends}")


class Debian:
    """A root of its own, removed at the end."""

    def __init__(self, base=BASE):
        if not base.exists():
            base.parent.mkdir(parents=True, exist_ok=True)
            release = dict(line.split("=", 1) for line in open("/etc/os-release").read().splitlines() if "=" in line)
            run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES[base]}", release["VERSION_CODENAME"].strip('"'), base)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="hookbox-debian-"))
        self.root.chmod(0o755)
        run("tar", "-xpf", base, "-C", self.root, "--exclude=./dev/*")
        for name, major, number in (("null", 1, 3), ("zero", 1, 5), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)):
            run("mknod", "-m", "666", self.root / "dev" / name, "c", major, number)
        run("mount", "-t", "proc", "proc", self.root / "proc")
        # Terminals of its own, for the shells.
        (self.root / "dev/pts").mkdir(exist_ok=True)
        run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", self.root / "dev/pts")
        (self.root / "dev/ptmx").unlink(missing_ok=True)
        (self.root / "dev/ptmx").symlink_to("pts/ptmx")
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
            process.wait()
        for mounted in ("dev/pts", "proc"):
            run("umount", self.root / mounted, check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def do(self, *command, check=True, **variables):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **variables}
        return run("chroot", self.root, *command, check=check, env=environment)

    def dpkg(self, *args):
        for arg in args:
            if str(arg).endswith(".deb"):
                shutil.copy(arg, self.root / "tmp" / pathlib.Path(arg).name)
        inside = [f"/tmp/{pathlib.Path(arg).name}" if str(arg).endswith(".deb") else arg for arg in args]
        done = self.do("dpkg", "--force-confold", *inside)
        return done.stdout + done.stderr

    def ctl(self, *args):
        return json.loads(self.do("hookboxctl", "--socket", SOCKET, "--json", *args).stdout)

    def has(self, path):
        return (self.root / path).exists()

    def write(self, path, text, mode=0o644):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def make_folders(self):
        """As RuntimeDirectory= and StateDirectory= of the unit do."""
        for folder, mode in (("run/hookbox", "755"), ("var/lib/hookbox", "700")):
            self.do("install", "-d", "-o", "hookbox", "-g", "hookbox", "-m", mode, f"/{folder}")

    def as_daemon(self, *command):
        """A command of the user hookbox in the root, without privileges."""
        return ["chroot", self.root, "setpriv", "--reuid=hookbox", "--regid=hookbox", "--init-groups",
                "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]

    def start(self, *command, **variables):
        """Starts a process of the user hookbox, which ends with the root."""
        log = open(self.root / "run/started.log", "ab")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables}
        process = subprocess.Popen([str(word) for word in self.as_daemon(*command)], env=environment, stdout=log, stderr=log)
        self.started.append(process)
        return process

    def log(self):
        return (self.root / "run/started.log").read_text()

    def serves(self):
        return self.do("hookboxctl", "--socket", SOCKET, "status", check=False).returncode == 0
