"""A folder of wheels from which a PC without internet installs goodpart.

    python tools/make_bundle.py bundle                    # enough to inspect, without torch
    python tools/make_bundle.py bundle --extras train     # to train there too

On the other PC (same system and Python version)::

    python -m venv goodpart && goodpart/bin/pip install --no-index --find-links bundle goodpart

The bundle is tried out at the end: installed into an empty environment without an index, and
where the system allows it (``unshare``) without a network at all.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collect(target: Path, extras: str) -> int:
    """Build goodpart's wheel and fetch those of everything it needs; return their number."""
    if target.exists() and any(p.suffix != ".whl" for p in target.iterdir()):
        raise SystemExit(f"{target}: holds other files than wheels; give another folder")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    wanted = f"{ROOT}[{extras}]" if extras else str(ROOT)
    constraints = str(ROOT / "constraints.txt")
    pip = [sys.executable, "-m", "pip"]
    command = [*pip, "wheel", "-q", "-c", constraints, "-w", str(target), wanted]
    subprocess.run(command, check=True)
    return len(list(target.glob("*.whl")))


def offline() -> list[str]:
    """The prefix that takes a command's network away, empty where the system does not allow it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    prefix = [unshare, "--map-root-user", "--net"]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else []


def try_out(target: Path, extras: str) -> str:
    """Install from the bundle alone and ask the command for its version."""
    with tempfile.TemporaryDirectory(prefix="goodpart-bundle-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        binaries = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin")
        wanted = f"goodpart[{extras}]" if extras else "goodpart"
        install = [str(binaries / "pip"), "install", "-q", "--no-index"]
        install += ["--find-links", str(target.resolve()), wanted]
        # No PIP_ variable and no pip configuration: another place to find wheels would be cheating.
        clean = {"PATH": str(binaries), "PIP_CONFIG_FILE": "/dev/null", "HOME": folder}
        subprocess.run([*offline(), *install], check=True, env=clean)
        said = subprocess.run(
            [*offline(), str(binaries / "goodpart"), "--version"],
            check=True,
            env=clean,
            capture_output=True,
            text=True,
        )
        return said.stdout.strip()


def main() -> None:
    """Make the bundle and try it out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="folder to write")
    parser.add_argument("--extras", default="", help="such as train or mqtt,postgresql")
    options = parser.parse_args()
    count = collect(options.target, options.extras)
    size = sum(path.stat().st_size for path in options.target.iterdir()) / 2**20
    version = try_out(options.target, options.extras)
    network = "without a network" if offline() else "without an index"
    print(f"{options.target}: {count} wheels, {size:.0f} MB; {version} installed {network}")


if __name__ == "__main__":
    main()
