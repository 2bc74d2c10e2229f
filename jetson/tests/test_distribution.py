import configparser
import fnmatch
import os

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOT_INSTALLED = ("tests", "deploy", "__pycache__")


def test_the_distribution_names_every_package_and_data_file():
    setup = configparser.ConfigParser()
    assert setup.read(os.path.join(PACKAGE, "setup.cfg"))
    packages = setup["options"]["packages"].split()
    data = setup["options.package_data"] if setup.has_section("options.package_data") else {}
    found, forgotten = set(), []
    for folder, folders, files in os.walk(PACKAGE):
        folders[:] = [name for name in folders if name not in NOT_INSTALLED]
        inner = os.path.relpath(folder, PACKAGE)
        name = "jetson" if inner == "." else "jetson." + inner.replace(os.sep, ".")
        if "__init__.py" in files:
            found.add(name)
        owner = name
        while owner not in found:
            owner = owner.rpartition(".")[0]
        start = os.path.join(PACKAGE, *owner.split(".")[1:])
        for file in files:
            path = os.path.relpath(os.path.join(folder, file), start)
            known = any(fnmatch.fnmatch(path, pattern) for pattern in data.get(owner, "").split())
            if not file.endswith((".py", ".pyc", ".cfg")) and not known:
                forgotten.append(os.path.join(owner, path))
    assert sorted(packages) == sorted(found)
    assert forgotten == []
