"""The RPM and the container image."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from debian import CONFIG, REPOSITORY, SOON_S, Debian, run, until

# What rpmlint says and why that is so; anything else is an error.
EXPLAINED = REPOSITORY / "packaging/rpmlint.toml"


def the_rpm_holds_the_program_once(_, __, programs):
    run(REPOSITORY / "packaging/build-rpm", env={**os.environ, "HOOKBOX_PROGRAMS": programs})
    package = max((REPOSITORY / "target/rpm").glob("*.rpm"), key=lambda path: path.stat().st_mtime)
    print(run("rpmlint", "-c", EXPLAINED, package, check=False).stdout.strip().splitlines()[-1])
    said = run("rpmlint", "--strict", "-c", EXPLAINED, package, check=False)
    assert said.returncode == 0, said.stdout
    size = int(run("rpm", "-qp", "--queryformat", "%{SIZE}", package).stdout)
    print(f"installed size of the RPM: {size // 1024} KiB")
    program = pathlib.Path(programs, "hookboxctl").stat().st_size
    assert size < 2 * program, "the program is in it twice"
    assert os.environ.get("HOOKBOX_PROGRAMS") or size <= 16 << 20, f"{size} bytes are more than 16 MiB"
    assert "digests OK" in run("rpm", "-K", package).stdout
    assert "/etc/hookbox/hookbox.toml" in run("rpm", "-qpc", package).stdout

    with Debian() as debian:
        # Without a data base of packages that would have what it needs; its scripts run.
        run("rpm", "--root", debian.root, "--dbpath", "/var/lib/rpm", "-i", "--nodeps", "--ignorearch", package)
        assert "hookbox:" in (debian.root / "etc/passwd").read_text()
        for program in ("hookboxctl", "hookboxd"):
            assert debian.do(program, "--version").stdout.startswith(f"{program} "), program
        debian.do("hookboxd", "--config", CONFIG, "--check")
        story = debian.do("hookboxctl", "demo")
        assert "hookbox" in story.stdout + story.stderr
        run("rpm", "--root", debian.root, "--dbpath", "/var/lib/rpm", "-e", "--nodeps", "hookbox")
        assert not debian.has("usr/bin/hookboxd") and not debian.has("usr/bin/hookboxctl")


def the_image_runs_as_nobody_on_a_read_only_root(_, __, programs):
    run(REPOSITORY / "packaging/build-oci", env={**os.environ, "HOOKBOX_PROGRAMS": programs})
    layout = REPOSITORY / "target/oci"
    first = (layout / "index.json").read_text()
    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{layout}:hookbox").stdout)
    user = config["config"]["User"]
    assert user != "" and not user.startswith("0"), user

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        run("skopeo", "copy", f"oci:{layout}:hookbox", f"dir:{folder}/copy")
        manifest = json.loads((folder / "copy/manifest.json").read_text())
        for layer in manifest["layers"]:
            data = (folder / "copy" / layer["digest"].split(":")[1]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == layer["digest"].split(":")[1]
            with tarfile.open(folder / "copy" / layer["digest"].split(":")[1]) as tar:
                tar.extractall(folder / "root", filter="fully_trusted")
        root = folder / "root"
        root.chmod(0o755)
        uid = int(user.split(":")[0])
        box = f"""set -e
            mount --bind {root} {root} && mount -o remount,bind,ro {root}
            mount -t tmpfs -o mode=700,uid={uid},gid={uid} none {root}/var/lib/hookbox
            exec {' '.join(enter(root, uid))} /usr/bin/hookboxd --listen 127.0.0.1:0"""
        # Its own variables, but for the PATH, in which its surroundings are looked for here.
        variables = dict(line.split("=", 1) for line in config["config"]["Env"])
        variables = {**os.environ, **variables, "PATH": os.environ["PATH"]}
        daemon = subprocess.Popen(["unshare", "--mount", "sh", "-c", box], env=variables)
        try:
            inside = ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt", *enter(root, uid)]
            ask = [*inside, "/usr/bin/hookboxctl"]
            until("the daemon of the image", lambda: run(*ask, "status", check=False, env=variables).returncode == 0)
            run(*ask, "source", "create", "app", "--verify", "none", env=variables)
            assert "evt_" in run(*ask, "event", "send", "--source", "app", "--data", "x", env=variables).stdout
            daemon.terminate()
            assert daemon.wait(timeout=SOON_S) == 0
        finally:
            daemon.kill()
            daemon.wait()

    shutil.rmtree(layout)
    run(REPOSITORY / "packaging/build-oci", env={**os.environ, "HOOKBOX_PROGRAMS": programs})
    assert (layout / "index.json").read_text() == first, "the image depends on when it is made"


def enter(root, uid):
    return ["chroot", f"--userspec={uid}:{uid}", str(root)]


TESTS = [the_rpm_holds_the_program_once, the_image_runs_as_nobody_on_a_read_only_root]
