"""Sockets that somebody else holds, and a daemon that ends when nobody needs it."""
import json
import os
import signal
import socket
import subprocess

from debian import CONFIG, SOCKET, Debian, free_port, post, until
from manager import Manager

MARK = "var/lib/hookbox/wake-at-boot"
IDLE_S = 2


def activated(debian, port):
    """systemd-socket-activate with the sockets of hookboxd.socket and hookboxd-admin.socket: it becomes the daemon with
    the first connection."""
    address = debian.root / SOCKET[1:]
    address.unlink(missing_ok=True)
    process = debian.start("systemd-socket-activate", f"--listen=127.0.0.1:{port}", f"--listen={SOCKET}",
                           "--fdname=http:admin", "/usr/bin/hookboxd", "--config", CONFIG)
    until("the socket", address.exists)
    return process


def waits_at_boot(debian):
    """What hookboxd-boot.service finds at boot."""
    said = debian.do("systemd-analyze", "condition", "--unit=hookboxd-boot.service", check=False)
    assert "wake-at-boot" in said.stderr + said.stdout, said
    return said.returncode == 0


def a_daemon_that_nobody_needs_ends_and_comes_back(package, _):
    with Debian() as debian:
        debian.dpkg("-i", package)
        debian.make_folders()
        debian.write("etc/hookbox/conf.d/50-idle.toml", f'[daemon]\nidle_exit = "{IDLE_S}s"\n')
        port = free_port()
        assert not waits_at_boot(debian), "nothing was ever received"

        # Started by whoever asks first: here hookboxctl, over the passed admin socket.
        first = activated(debian, port)
        assert not debian.has("var/lib/hookbox/log"), "it runs before anybody asks"
        debian.ctl("source", "create", "app", "--verify", "none")
        assert waits_at_boot(debian), "a crash would leave it"
        assert first.wait(timeout=300) == 0, debian.log()
        assert "stopping until the next connection" in debian.log()
        assert not waits_at_boot(debian), "nothing waits"

        # And here by a webhook. What waits for its next attempt keeps it.
        second = activated(debian, port)
        post(port, "one")
        debian.ctl("endpoint", "create", "away", "--url", "http://127.0.0.1:9/", "--allow-private", "--retry-base", "1h")
        post(port, "two")
        try:
            # So long it would have looked several times. The daemon's own log is no help: it says nothing when it stays.
            second.wait(timeout=4 * IDLE_S)
            raise AssertionError("it ended although a delivery waits")
        except subprocess.TimeoutExpired:
            pass
        second.send_signal(signal.SIGKILL)
        second.wait()
        assert waits_at_boot(debian), "it was killed with a delivery that waits"

        third = activated(debian, port)
        waiting = json.loads(debian.do("hookboxctl", "--socket", SOCKET, "--json", "delivery", "list").stdout)
        debian.do("hookboxctl", "--socket", SOCKET, "delivery", "cancel", waiting["id"])
        assert third.wait(timeout=300) == 0, debian.log()
        assert not waits_at_boot(debian)


def a_restart_loses_no_connection(package, _):
    with Debian() as debian:
        manager = Manager(debian.root)
        try:
            debian.dpkg("-i", package)
            debian.ctl("source", "create", "app", "--verify", "none")
            for n in range(5):
                debian.do("systemctl", "stop", "hookboxd.service")
                # Somebody connects while nobody serves.
                waiting = socket.create_connection(("127.0.0.1", manager.port), timeout=300)
                waiting.sendall(b"POST /in/app HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\n%d" % n)
                debian.do("systemctl", "start", "hookboxd.service")
                answer = b"".join(iter(lambda: waiting.recv(65536), b""))
                assert b" 202 " in answer.splitlines()[0], answer
            assert debian.ctl("status")["events"] == 5
        finally:
            manager.close()


def a_reload_with_a_broken_drop_in_changes_nothing(package, _):
    with Debian() as debian:
        manager = Manager(debian.root)
        try:
            debian.dpkg("-i", package)
            debian.ctl("source", "create", "app", "--verify", "none")
            pid = manager.pid
            debian.write("etc/hookbox/conf.d/60-wrong.toml", '[logging]\nlevel = "debug"\n[retention]\ndelivred = "1d"\n')
            # The first ExecReload= is a check, so `systemctl reload` fails and says why.
            check = manager.unit("ExecReload")[0].split()
            said = manager.as_user(check)
            assert said.returncode == 78, said
            assert "60-wrong.toml:4: unknown field `delivred`: did you mean `delivered`?" in said.stderr, said.stderr
            # A signal of somebody else is refused by the daemon itself.
            os.kill(pid, signal.SIGHUP)
            until("the refusal", lambda: "was not reloaded" in manager.log())
            assert "60-wrong.toml:4" in manager.log()
            assert manager.pid == pid
            post(manager.port, "still served")
        finally:
            manager.close()


TESTS = [a_daemon_that_nobody_needs_ends_and_comes_back, a_restart_loses_no_connection,
         a_reload_with_a_broken_drop_in_changes_nothing]
