"""Writes the bill of materials (CycloneDX, JSON) of the packages that the service runs with.

    python -m scripts.write_sbom dist/carprice.cdx.json

It has versions, licences and dependencies. The packages of runtime.txt are installed in a temporary
environment, because that of a developer also holds the packages of the tests. Needs `uv`.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
PROJECT = "carpricepredictor-ma"


def main() -> None:
    """Write the file that the first argument names."""
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)
        python = Path(folder, "bin", "python")
        _install(python, "--require-hashes", "-r", "requirements/runtime.txt")
        _install(
            python, "--no-build-isolation", "--config-settings", "editable_mode=compat", "-e", "."
        )
        file.write_text(json.dumps(bill_of_materials(python), indent=2) + "\n", encoding="utf-8")
    print(file)


def _install(python: Path, *options: str) -> None:
    command = [
        str(PROGRAMS / "uv"),
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "--no-deps",
    ]
    subprocess.run([*command, *options], cwd=ROOT, check=True)


def bill_of_materials(python: Path) -> dict[str, Any]:
    """The bill of an environment in which the project is installed.

    Args:
        python: interpreter of the environment.

    Returns:
        a CycloneDX document whose described component is the project. The same environment gives
        the same document, without paths of this machine.

    Raises:
        subprocess.CalledProcessError: the environment cannot be read.
    """
    bill: dict[str, Any] = json.loads(
        subprocess.check_output(
            [
                *(str(PROGRAMS / "cyclonedx-py"), "environment", "--output-reproducible"),
                *("--of", "JSON", str(python)),
            ]
        )
    )
    project = next(one for one in bill["components"] if one["name"] == PROJECT)
    bill["components"].remove(project)
    project["type"] = "application"
    del project["externalReferences"]  # the folder from which it was installed
    bill["metadata"]["component"] = project
    return bill


if __name__ == "__main__":
    main()
