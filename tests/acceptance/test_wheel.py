"""The wheel, built from the repository and installed outside it, serves."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from contextlib import suppress
from pathlib import Path

import httpx

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def _is_ready(url: str) -> bool:
    with suppress(httpx.TransportError):  # it tells where it will listen, and then does
        return httpx.get(f"{url}/ready").status_code == 200
    return False


def test_the_wheel_serves_from_an_environment_of_its_own(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("tallygate-*.whl")

    # What the wheel depends on is taken from this environment; the gateway itself is not.
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = next((home / "lib").glob("python3*")) / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", packages, wheel],
        check=True,
    )
    installed = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (packages / "dependencies.pth").write_text(f"{installed}\n")

    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [python, "-P", "-m", "gateway", "serve", "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=os.environ | {"TALLYGATE_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": ""},
        )
    try:
        wait_until(lambda: "http://" in log.read_text(), 60, log.read_text)
        url = next(word for word in log.read_text().split() if word.startswith("http://"))
        wait_until(lambda: _is_ready(url.rstrip("/")), 60, log.read_text)
        where = subprocess.run(
            [python, "-P", "-c", "import gateway; print(gateway.__file__)"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        ).stdout
        assert where.startswith(str(home))
    finally:
        process.terminate()
        assert process.wait(30) == 0
