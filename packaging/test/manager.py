"""As much of a service manager as the package's scripts need, for a Debian root without one.

It holds the socket of hookboxd.socket, starts hookboxd with it as its unit says, waits for READY=1, and does what a
stand-in for systemctl inside the root asks for. What the sandbox of the unit does is not tried here: `systemd-analyze`
looks at that.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

STAND_IN = """#!/bin/sh
# Stands for systemctl: packaging/test/manager.py answers. What only makes links is done by the real one.
for word in "$@"; do
    case $word in
    preset | is-enabled | enable | disable | mask | unmask) SYSTEMD_OFFLINE=1 exec /usr/bin/systemctl.distrib "$@" ;;
    esac
done
exec 9>/run/manager/lock
flock 9
printf '%s\\n' "$*" >/run/manager/request
read -r code text </run/manager/answer
[ -z "$text" ] || printf '%s\\n' "$text"
exit "$code"
"""
START_TIMEOUT_S = 300


class Manager:
    def __init__(self, root):
        self.root, self.daemon, self.calls = pathlib.Path(root), None, []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.socket.getsockname()[1]

        folder = self.root / "run/manager"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("request", "answer"):
            os.mkfifo(folder / name)
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        stand_in = self.root / "usr/bin/systemctl"
        if not (self.root / "usr/bin/systemctl.distrib").exists():
            stand_in.rename(self.root / "usr/bin/systemctl.distrib")
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        folder = self.root / "run/manager"
        while True:
            try:
                line = (folder / "request").read_text()
            except FileNotFoundError:  # The root is gone.
                return
            for call in line.splitlines():
                code, text = self.do(call.split())
                (folder / "answer").write_text(f"{code} {text}\n")

    def do(self, words):
        action, *units = [word for word in words if not word.startswith("-")]
        self.calls.append(" ".join([action, *units]))
        service = "hookboxd.service" in units
        try:
            if action == "is-active":
                return (0, "") if service and self.is_active() else (3, "")
            if action in ("stop", "restart") and service:
                self.stop()
            if action in ("start", "restart") and service and not self.is_active():
                self.start()
        except Exception as error:  # It is answered to the script that asked, and fails there.
            return 1, f"{type(error).__name__}: {error}"
        return 0, ""

    def is_active(self):
        return self.daemon is not None and self.daemon.poll() is None

    @property
    def pid(self):
        return self.daemon.pid if self.is_active() else None

    def unit(self, key):
        text = (self.root / "usr/lib/systemd/system/hookboxd.service").read_text()
        return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(key + "=")]

    def user(self):
        lines = (self.root / "etc/passwd").read_text().splitlines()
        return next(tuple(map(int, line.split(":")[2:4])) for line in lines if line.startswith("hookbox:"))

    def start(self):
        uid, gid = self.user()
        for place, mode in (("run/hookbox", 0o755), ("var/lib/hookbox", 0o700)):
            (self.root / place).mkdir(exist_ok=True)
            os.chown(self.root / place, uid, gid)
            (self.root / place).chmod(mode)
        for check in self.unit("ExecStartPre"):
            self.as_user(check.split()).check_returncode()

        path = self.root / "run/manager/notify"
        path.unlink(missing_ok=True)
        notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notifications.bind(str(path))
        path.chmod(0o777)
        notifications.settimeout(START_TIMEOUT_S)
        command = self.unit("ExecStart")[0]
        script = f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http exec {command} 3<&{self.socket.fileno()}"
        log = open(self.root / "run/manager/log", "ab")
        self.daemon = subprocess.Popen(
            [*self.enter(), "sh", "-c", script], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": "/run/manager/notify"},
            stderr=log, stdout=log, pass_fds=[self.socket.fileno()])
        while "READY=1" not in notifications.recv(4096).decode():
            pass

    def stop(self):
        if self.is_active():
            self.daemon.send_signal(signal.SIGTERM)
            if self.daemon.wait(START_TIMEOUT_S) != 0:
                raise RuntimeError(f"hookboxd ended with {self.daemon.returncode}")

    def enter(self):
        """A process of the user hookbox in the root, without privileges."""
        return ["chroot", str(self.root), "setpriv", "--reuid=hookbox", "--regid=hookbox", "--init-groups",
                "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]

    def log(self):
        return (self.root / "run/manager/log").read_text()

    def as_user(self, command):
        return subprocess.run([*self.enter(), *command], capture_output=True, text=True)

    def close(self):
        if self.is_active():
            self.daemon.kill()
            self.daemon.wait()
        self.socket.close()
