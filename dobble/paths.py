"""Where every file and folder of a project lies, relative to its root: data, results, and state."""

from pathlib import Path

PARAMS, PIPELINE, PIPELINE_LOCK = Path("params.yaml"), Path("dvc.yaml"), Path("dvc.lock")
DATA, DATA_PIN = Path("data"), Path("data.dvc")

BUILD = Path("build")
VOC, SPLITS, VALIDATION = BUILD / "voc", BUILD / "splits", BUILD / "validation"
TRAINED = BUILD / "train"
CHECKPOINT, HISTORY = TRAINED / "checkpoint.pt", TRAINED / "history.csv"
TRAINING_STATE = BUILD / ".train.resume"
GROWING_HISTORY = TRAINING_STATE / "history.csv"
BUNDLE = BUILD / "bundle"
MANIFEST = BUNDLE / "manifest.json"
EVALUATION = BUILD / "evaluation"
METRICS, OUTCOMES = EVALUATION / "metrics.json", EVALUATION / "outcomes"
REPORT, MODEL_CHECK = EVALUATION / "report/report.html", EVALUATION / "report/deepchecks.json"
EXAM = BUILD / "exam"
DEVICE_ARCHIVE = BUILD / "device/dobble-device.tar.gz"

STATE = Path(".dobble")
OUTPUT_LOCKS, WORKSPACE_LOCK, STACK_LOCK = STATE / "locks", STATE / "workspace.lock", STATE / "stack.lock"
STACK_CHOICE, STACK_ENVIRONMENT = STATE / "stack", STATE / "stack.env"
MLFLOW_DATABASE, MLFLOW_ARTIFACTS, MLFLOW_LOCK = STATE / "mlflow.db", STATE / "mlruns", STATE / "mlflow"
LIVE_RUN, DECISION, RECEIPT = STATE / "live-run.json", STATE / "decision.json", STATE / "published.json"
PREFECT_HOME, SERVICES = STATE / "prefect", STATE / "ui"
