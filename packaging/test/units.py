"""What is in the Debian package, and its units."""
import gzip
import os
import pathlib
import re
import subprocess
import tempfile

from debian import REPOSITORY, Debian, names_the_loader_that_it_needs, run

UNITS = ["hookboxd.service", "hookboxd.socket", "hookbox-consume@.service", "hookboxd-admin.socket",
         "hookboxd-boot.service", "hookboxd-retention.timer"]
FILES = [*(f"usr/lib/systemd/system/{unit}" for unit in UNITS), "usr/bin/hookboxd", "usr/bin/hookboxctl",
         "usr/lib/sysusers.d/hookbox.conf", "etc/hookbox/hookbox.toml",
         "usr/share/man/man8/hookboxd.8.gz", "usr/share/man/man1/hookboxctl.1.gz",
         "usr/share/man/man1/hookboxctl-endpoint.1.gz", "usr/share/man/man5/hookbox.toml.5.gz",
         "usr/share/man/man7/hookbox.7.gz", "usr/share/bash-completion/completions/hookboxctl",
         "usr/share/zsh/vendor-completions/_hookboxctl", "usr/share/fish/vendor_completions.d/hookboxctl.fish",
         "usr/share/doc/hookbox/changelog.gz", "usr/share/doc/hookbox/copyright", "usr/share/doc/hookbox/README.md",
         "usr/share/doc/hookbox/guide/install.md", "usr/share/doc/hookbox/examples/exec.conf",
         "usr/share/doc/hookbox/examples/idle-exit.conf", "usr/share/doc/hookbox/examples/credentials.conf",
         "usr/share/doc/hookbox/examples/hookbox-backup.service", "usr/share/doc/hookbox/examples/hookbox-backup.timer",
         "usr/share/doc/hookbox/monitoring/hookbox-alerts.yml",
         "usr/share/doc/hookbox/monitoring/hookbox-dashboard.json"]


def the_package_is_in_order(package, _):
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", package, check=False)
    print(said.stdout.strip())
    assert said.returncode == 0, said.stdout + said.stderr
    size = int(run("dpkg-deb", "-f", package, "Installed-Size").stdout)
    print(f"installed size: {size} KiB")
    # Programs that are given may be of another profile: what they weigh says nothing then.
    assert os.environ.get("HOOKBOX_PROGRAMS") or size <= 16 * 1024, f"{size} KiB are more than 16 MiB"

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run("dpkg-deb", "-x", package, folder)
        missing = [name for name in FILES if not os.path.lexists(folder / name)]
        assert not missing, missing
        pages = sorted(folder.glob("usr/share/man/man*/*.gz"))
        assert len(pages) > 40, pages
        for page in pages:
            said = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page, env={**os.environ, "MANROFFSEQ": "", "LC_ALL": "C.UTF-8"})
            assert said.stderr == "", f"{page.name}: {said.stderr}"
        print(f"{len(pages)} manual pages without a warning")
        crates = re.findall(r'^name = "(.*)"$', (REPOSITORY / "Cargo.lock").read_text(), re.M)
        copyright = (folder / "usr/share/doc/hookbox/copyright").read_text()
        listed = sum(1 for crate in set(crates) if re.search(rf"^  {re.escape(crate)} ", copyright, re.M))
        print(f"copyright names the licences of {listed} crates")
        assert listed > 100, "the licences of crates are missing"
        assert b"" != gzip.decompress((folder / "usr/share/doc/hookbox/changelog.gz").read_bytes())

        names_the_loader_that_it_needs(package, folder / "usr/bin/hookboxd")
        program = (folder / "usr/bin/hookboxd").read_bytes()
        if not os.environ.get("HOOKBOX_PROGRAMS"):
            for name in (b"/.cargo/", b"/.rustup/", str(REPOSITORY).encode()):
                assert name not in program, f"{name} is in the program"
            head = run("git", "-C", REPOSITORY, "rev-parse", "--short=12", "HEAD").stdout.strip()
            version = run(folder / "usr/bin/hookboxd", "--version").stdout
            assert head in version, f"{version} does not name the commit {head}"


def assembling_it_again_gives_the_same_file(package, _, programs):
    run(REPOSITORY / "packaging/build-deb", env={**os.environ, "HOOKBOX_PROGRAMS": programs})
    again = next((REPOSITORY / "target/debian").glob(package.name))
    assert again.read_bytes() == package.read_bytes(), "the package depends on when it is made"


def the_units_hold(package, _):
    with Debian() as debian:
        debian.dpkg("-i", package)
        said = debian.do("systemd-analyze", "verify", "--man=no",
                         *(unit.replace("@.", "@jobs.") for unit in UNITS), check=False)
        ours = [line for line in said.stderr.splitlines() if "hookbox" in line]
        assert not ours, ours
        for name in [unit for unit in UNITS if unit.endswith(".service")]:
            said = debian.do("systemd-analyze", "security", "--offline=true", "--threshold=15",
                             f"/usr/lib/systemd/system/{name}", check=False)
            print(said.stdout.strip().splitlines()[-1])
            assert said.returncode == 0, said.stdout

        # With the drop-ins that are shipped as examples, every line of exec.conf in force.
        for name in ("exec", "idle-exit", "credentials"):
            text = (debian.root / f"usr/share/doc/hookbox/examples/{name}.conf").read_text()
            text = re.sub(r"^#(?=[A-Z][A-Za-z]*=)", "", text, flags=re.M)
            debian.write(f"etc/systemd/system/hookboxd.service.d/{name}.conf", text)
        backup = ["hookbox-backup.service", "hookbox-backup.timer"]
        for name in backup:
            debian.write(f"etc/systemd/system/{name}", (debian.root / f"usr/share/doc/hookbox/examples/{name}").read_text())
        said = debian.do("systemd-analyze", "verify", "--man=no", "hookboxd.service", *backup, check=False)
        ours = [line for line in said.stderr.splitlines() if "hookbox" in line]
        assert not ours, ours


def it_is_installed_and_runs_without_a_manager(package, _):
    with Debian() as debian:
        debian.dpkg("-i", package)
        assert "hookbox:" in (debian.root / "etc/passwd").read_text()
        for program in ("hookboxctl", "hookboxd"):
            assert debian.do(program, "--version").stdout.startswith(f"{program} ")
        debian.do("hookboxd", "--config", "/etc/hookbox/hookbox.toml", "--check")
        for unit in ("multi-user.target.wants/hookboxd.service", "sockets.target.wants/hookboxd.socket"):
            assert os.path.islink(debian.root / "etc/systemd/system" / unit), unit
        story = debian.do("hookboxctl", "demo")
        assert story.returncode == 0, story.stdout


def a_box_needs_no_etc_and_no_root_that_can_be_written(package, _):
    """The root is read-only, /etc has nothing of ours, the vendor's files are below /usr/lib, and only the state can be
    written. A command that misses something there is told which directive gives it."""
    with Debian() as debian:
        debian.dpkg("-i", package)
        root = debian.root
        subprocess.run(["rm", "-r", root / "etc/hookbox"], check=True)
        debian.write("usr/lib/hookbox/conf.d/10-box.toml", '[exec]\nallow = ["/usr/lib/hooks/*"]\n[log]\nquota = "64MiB"\n')
        debian.write("usr/lib/hookbox/apply.d/10-box.toml",
                     '[source.app]\n\n[endpoint.note]\nurl = "exec:/usr/lib/hooks/note"\nretry_base = "1h"\n')
        debian.write("usr/lib/hooks/note", "#!/bin/sh\necho x >/srv/note\n", 0o755)
        hookboxd = "setpriv --reuid=hookbox --regid=hookbox --init-groups --no-new-privs --bounding-set=-all hookboxd"
        box = f"""set -e
            mount --bind {root} {root}
            mount -o remount,bind,ro {root}
            mount -t proc proc {root}/proc
            mount -t tmpfs -o mode=755 none {root}/run && mount -t tmpfs -o mode=755 none {root}/var/lib
            mkdir -p {root}/run/hookbox {root}/var/lib/hookbox
            chroot {root} chown hookbox:hookbox /run/hookbox /var/lib/hookbox
            chroot {root} hookboxd --config /etc/hookbox/hookbox.toml --check --print
            INVOCATION_ID=1 chroot {root} {hookboxd} --config /etc/hookbox/hookbox.toml --listen 127.0.0.1:0 & daemon=$!
            trap 'kill -KILL $daemon 2>/dev/null || true' EXIT
            for n in $(seq 600); do chroot {root} hookboxctl status >/dev/null 2>&1 && break; sleep 0.1; done
            chroot {root} hookboxctl status
            chroot {root} hookboxctl event send --source app --data hello
            chroot {root} hookboxctl --json endpoint test note || true
            kill -TERM $daemon
            wait $daemon"""
        said = run("unshare", "--mount", "sh", "-c", box).stdout
        assert "/etc/hookbox/hookbox.toml: not there" in said and "/usr/lib/hookbox/conf.d/10-box.toml: read" in said, said
        assert "applied    1 file at the start, 2 changed" in said and "evt_" in said, said
        assert "Read-only file system" in said and "ReadWritePaths=" in said and "exec.conf" in said, said


TESTS = [the_package_is_in_order, assembling_it_again_gives_the_same_file, the_units_hold,
         it_is_installed_and_runs_without_a_manager, a_box_needs_no_etc_and_no_root_that_can_be_written]
