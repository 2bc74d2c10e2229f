"""Records which names the Python binding of each TensorRT release has, from the wheels of the package index.

    python jetson/tests/record_tensorrt_names.py

The wheels are small and load without GPU, driver or TensorRT once libraries with empty functions stand in for
the real ones (needs gcc, nm and readelf). No x86 wheel of 8.2 exists: its names are kept as they were read in
the binding's source. The result, `tensorrt_names.json`, is what `fake_tensorrt.py` allows and nothing else.
"""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile

RECORD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorrt_names.json")
WHEELS = {
    "8.6": "tensorrt-bindings==8.6.1",
    "10.0": "tensorrt-cu12-bindings==10.0.1",
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.13": "tensorrt-cu12-bindings==10.13.3.9",
    "11.4": "tensorrt-cu12-bindings==11.4.0.106",
}
CLASSES = (
    "Builder",
    "IBuilderConfig",
    "OnnxParser",
    "Runtime",
    "ICudaEngine",
    "IExecutionContext",
)
ENUMS = (
    "BuilderFlag",
    "NetworkDefinitionCreationFlag",
    "MemoryPoolType",
    "TensorIOMode",
)
READ = """
import json, sys
import tensorrt_bindings as trt
classes, enums = json.loads(sys.argv[1])
public = lambda thing: sorted(name for name in dir(thing) if not name.startswith("_"))
found = {
    "version": trt.__version__,
    "classes": {name: public(getattr(trt, name)) for name in classes},
    "enums": {name: sorted(getattr(trt, name).__members__) for name in enums if hasattr(trt, name)},
    "logger": sorted(trt.Logger.Severity.__members__),
}
print(json.dumps(found))
"""


def main() -> int:
    """Read every wheel and write the record, 8.2 as it was."""
    with open(RECORD, encoding="utf-8") as stream:
        record = json.load(stream)
    for release, requirement in sorted(WHEELS.items()):
        with tempfile.TemporaryDirectory() as folder:
            record[release] = dict(read_wheel(requirement, folder), source=requirement)
        sys.stdout.write("{}: {}\n".format(release, record[release]["version"]))
    with open(RECORD, "w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=1, sort_keys=True)
        stream.write("\n")
    return 0


def read_wheel(requirement, folder):
    """Download one wheel, give it libraries to load, and list its names in a process of its own."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.check_call(pip + ["--only-binary", ":all:", "--dest", folder, requirement])
    with zipfile.ZipFile(glob.glob(os.path.join(folder, "*.whl"))[0]) as wheel:
        wheel.extractall(folder)
    make_libraries(glob.glob(os.path.join(folder, "*", "tensorrt*.so"))[0], folder)
    environment = dict(os.environ, PYTHONPATH=folder, LD_LIBRARY_PATH=folder)
    command = [sys.executable, "-c", READ, json.dumps((CLASSES, ENUMS))]
    return json.loads(subprocess.check_output(command, env=environment, universal_newlines=True))


def make_libraries(binding, folder):
    """Compile libraries under the names that a binding needs, with an empty function for each symbol."""
    dynamic = subprocess.check_output(["readelf", "-d", binding], universal_newlines=True)
    symbols = subprocess.check_output(["nm", "-D", "--undefined-only", binding], universal_newlines=True)
    missing = [
        line.split()[-1]
        for line in symbols.splitlines()
        if line.split()[0] == "U" and "@" not in line and not re.match(r"_?Py|dl", line.split()[-1])
    ]
    source = os.path.join(folder, "empty.c")
    with open(source, "w", encoding="ascii") as stream:
        stream.writelines("void *{}(void) {{ return 0; }}\n".format(symbol) for symbol in missing)
    for library in re.findall(r"\[(libnv[^\]]+)\]", dynamic):
        path = os.path.join(folder, library)
        subprocess.check_call(["gcc", "-shared", "-fPIC", "-Wl,-soname," + library, "-o", path, source])


if __name__ == "__main__":
    sys.exit(main())
