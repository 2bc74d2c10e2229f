import ast
import os
import subprocess
import sys

import pytest

import jetson

ROOT = os.path.dirname(os.path.abspath(jetson.__file__))
ALLOWED = {"cv2", "jetson", "numpy", "setuptools"}


def sources():
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ("tests", "build", "__pycache__")]
        for name in files:
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def test_every_file_runs_on_python_3_6():
    pytest.importorskip("vermin")
    options = ["-t=3.6-", "--violations", "--eval-annotations", "--no-tips", ROOT]
    command = [sys.executable, "-c", "import vermin; vermin.main()"] + options
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_the_package_needs_only_the_standard_library_numpy_and_opencv_to_be_imported():
    standard = getattr(sys, "stdlib_module_names", None)
    if standard is None:
        pytest.skip("Python lists its standard modules from 3.10 on")
    for path in sources():
        with open(path, encoding="utf-8") as stream:
            tree = ast.parse(stream.read())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                assert top in ALLOWED or top in standard, "{} imports {}".format(path, name)
