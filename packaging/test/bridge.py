"""The package of the bridge to NATS, beside that of the daemon: installed, checked, removed, purged."""
import os
import pathlib

from debian import REPOSITORY, Debian, names_the_loader_that_it_needs, run

UNIT = "/usr/lib/systemd/system/hookbox-nats@.service"
# Stands for systemctl while a package is upgraded: two bridges run.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >>/run/calls
case "$*" in *list-units*) printf 'hookbox-nats@%s.service loaded active running\\n' main other ;; esac
"""


def built(programs):
    """The package, of a program that is there or is built now."""
    more = {"HOOKBOX_PROGRAMS": programs} if (pathlib.Path(programs) / "hookbox-nats").exists() else {}
    unset = {name: value for name, value in os.environ.items() if name != "HOOKBOX_PROGRAMS"}
    run(REPOSITORY / "packaging/build-nats-deb", env={**unset, **more})
    return next((REPOSITORY / "target/debian").glob("hookbox-nats_*.deb"))


def the_bridge_is_installed_beside_the_daemon(package, _, programs):
    bridge = built(programs)
    said = run("lintian", "--fail-on", "error,warning", bridge, check=False)
    assert said.returncode == 0, said.stdout
    with Debian() as debian:
        debian.dpkg("-i", package, bridge)
        assert debian.do("hookbox-nats", "--version").stdout.startswith("hookbox-nats ")
        names_the_loader_that_it_needs(bridge, debian.root / "usr/bin/hookbox-nats")
        example = (debian.root / "usr/share/doc/hookbox-nats/examples/hookbox-nats.toml").read_text()
        debian.write("etc/hookbox/nats/main.toml", example)
        # As the unit asks before each start.
        checked = debian.do("hookbox-nats", "--config", "/etc/hookbox/nats/main.toml", "--check")
        assert "the configuration is valid" in checked.stdout, checked

        said = debian.do("systemd-analyze", "verify", "--man=no", UNIT.replace("@.", "@main."), check=False)
        ours = [line for line in said.stderr.splitlines() if "hookbox" in line]
        assert not ours, ours
        said = debian.do("systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT, check=False)
        print(said.stdout.strip().splitlines()[-1])
        assert said.returncode == 0, said.stdout
        page = debian.root / "usr/share/man/man8/hookbox-nats.8.gz"
        said = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page, env={**os.environ, "LC_ALL": "C.UTF-8"})
        assert said.stderr == "", said.stderr

        an_upgrade_restarts_what_comes_back(debian, bridge)

        # What the administrator wrote is kept; an empty folder is not.
        debian.dpkg("-r", "hookbox-nats")
        debian.dpkg("-P", "hookbox-nats")
        assert (debian.root / "etc/hookbox/nats/main.toml").exists()
        debian.dpkg("-i", bridge)
        (debian.root / "etc/hookbox/nats/main.toml").unlink()
        debian.dpkg("-P", "hookbox-nats")
        assert not (debian.root / "etc/hookbox/nats").exists()


def an_upgrade_restarts_what_comes_back(debian, bridge):
    systemctl = debian.root / "usr/bin/systemctl"
    kept = systemctl.with_name("systemctl.kept")
    systemctl.rename(kept)
    debian.write("usr/bin/systemctl", STAND_IN, 0o755)
    debian.write("etc/hookbox/nats/other.toml", "[nats]\nservrs = []\n")
    (debian.root / "run/systemd/system").mkdir(parents=True)
    said = debian.dpkg("-i", bridge)
    calls = (debian.root / "run/calls").read_text()
    assert "try-restart hookbox-nats@main.service" in calls and "restart hookbox-nats@other" not in calls, calls
    assert "other.toml:2" in said and "other.toml is broken, so the old bridge goes on" in said, said
    (debian.root / "run/systemd/system").rmdir()
    (debian.root / "etc/hookbox/nats/other.toml").unlink()
    kept.rename(systemctl)


TESTS = [the_bridge_is_installed_beside_the_daemon]
