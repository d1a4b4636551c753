"""The package of the bridge to NATS, beside that of the daemon: installed, checked, removed, purged."""
import os
import pathlib

from debian import REPOSITORY, Debian, run

UNIT = "/usr/lib/systemd/system/hookbox-nats@.service"


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
        example = (debian.root / "usr/share/doc/hookbox-nats/examples/hookbox-nats.toml").read_text()
        debian.write("etc/hookbox/nats/main.toml", example)
        # As the unit asks before each start.
        checked = debian.do("hookbox-nats", "--config", "/etc/hookbox/nats/main.toml", "--check")
        assert "the configuration is valid" in checked.stdout, checked

        said = debian.do("systemd-analyze", "verify", "--man=no", UNIT.replace("@.", "@main."), check=False)
        ours = [line for line in said.stderr.splitlines() if "hookbox" in line]
        assert not ours, ours
        said = debian.do("systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT, check=False)
        assert said.returncode == 0, said.stdout

        # What the administrator wrote is kept; an empty folder is not.
        debian.dpkg("-r", "hookbox-nats")
        debian.dpkg("-P", "hookbox-nats")
        assert (debian.root / "etc/hookbox/nats/main.toml").exists()
        debian.dpkg("-i", bridge)
        (debian.root / "etc/hookbox/nats/main.toml").unlink()
        debian.dpkg("-P", "hookbox-nats")
        assert not (debian.root / "etc/hookbox/nats").exists()


TESTS = [the_bridge_is_installed_beside_the_daemon]
