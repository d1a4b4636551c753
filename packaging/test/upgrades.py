"""Installation, upgrade with a backlog, removal, purge; with and without policy-rc.d."""
import os
import threading

from debian import Debian, post
from manager import Manager

EVENTS = 40


def an_upgrade_loses_nothing_and_asks_nobody_to_wait(package, later):
    with Debian() as debian:
        manager = Manager(debian.root)
        try:
            debian.dpkg("-i", package)
            assert manager.pid, f"it was not started: {manager.calls}"
            debian.ctl("source", "create", "app", "--verify", "none")
            debian.ctl("endpoint", "create", "away", "--url", "http://127.0.0.1:9/", "--allow-private", "--retry-base", "1h")
            ids = [post(manager.port, f"before {n}") for n in range(EVENTS)]

            # Somebody goes on sending: every request is answered with 202, by the old daemon or the new one.
            failed, done = [], threading.Event()

            def send():
                while not done.is_set():
                    try:
                        ids.append(post(manager.port, f"meanwhile {len(ids)}"))
                    except Exception as error:
                        failed.append(repr(error))
                        return

            sender = threading.Thread(target=send)
            sender.start()
            old = manager.pid
            debian.dpkg("-i", later)
            done.set()
            sender.join()
            assert not failed, failed
            assert manager.pid and manager.pid != old, "it was not restarted"
            assert "daemon-reload" in manager.calls
            waiting = debian.ctl("status")["deliveries"]
            assert waiting["pending"] + waiting["held"] == len(ids), f"{waiting} of {len(ids)}"
            assert debian.ctl("log", "verify")["ok"]
            print(f"{len(ids)} events, {len(ids) - EVENTS} of them during the upgrade: none was refused, none is lost")

            # A configuration that a new daemon would refuse.
            broken = debian.root / "etc/hookbox/conf.d/90-broken.toml"
            broken.write_text("[log]\nquotta = 1\n")
            old = manager.pid
            said = debian.dpkg("-i", package)
            assert manager.pid == old and "90-broken.toml:2" in said and "the old daemon goes on" in said, said
            broken.unlink()

            # One that was stopped stays so.
            debian.do("systemctl", "stop", "hookboxd.service")
            debian.dpkg("-i", later)
            assert manager.pid is None, "an upgrade started what was stopped"
            debian.do("systemctl", "start", "hookboxd.service")

            # For a daemon that ends for want of work.
            debian.do("systemctl", "enable", "hookboxd-admin.socket", "hookboxd-boot.service", "hookboxd-retention.timer")
            assert os.path.islink(debian.root / "etc/systemd/system/sockets.target.wants/hookboxd-admin.socket")
            said = debian.dpkg("-r", "hookbox")
            assert any("stop" in call and "hookboxd-admin.socket" in call for call in manager.calls), manager.calls
            assert manager.pid is None, "it goes on without its files"
            assert debian.has("etc/hookbox/hookbox.toml") and debian.has("var/lib/hookbox/log")
            debian.dpkg("-i", package)
            assert manager.pid, f"it was not started again: {manager.calls[-12:]}"
            assert debian.ctl("status")["events"] == len(ids), "the log is another one"

            said = debian.dpkg("-P", "hookbox")
            assert "/var/lib/hookbox is kept" in said, said
            assert debian.has("var/lib/hookbox/log") and not debian.has("etc/hookbox")
            links = list((debian.root / "etc/systemd/system").glob("**/hookbox*"))
            assert not links, links
        finally:
            manager.close()


def policy_rc_d_is_asked(package, later):
    with Debian() as debian:
        policy = debian.root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        manager = Manager(debian.root)
        try:
            debian.dpkg("-i", package)
            assert manager.pid is None, "it was started against the policy"
            assert not any(call.startswith("start") for call in manager.calls), manager.calls
            assert os.path.islink(debian.root / "etc/systemd/system/multi-user.target.wants/hookboxd.service")
            debian.do("systemctl", "start", "hookboxd.service")
            old = manager.pid
            debian.dpkg("-i", later)
            assert manager.pid == old, "it was restarted against the policy"
        finally:
            manager.close()


TESTS = [an_upgrade_loses_nothing_and_asks_nobody_to_wait, policy_rc_d_is_asked]
