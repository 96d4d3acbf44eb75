"""A project of three tiny stages, laid out like Bluelight, whose results can be worked out by hand.

Twenty test images; with dropout 0.5 the model is wrong about the images 0, 1 and 2, with 0.2 about
2 and 3, with any other about none. On a PROCESSOR of another name the weights differ a little.
"""

from pathlib import Path

from tests.helpers.clones import commit, dvc, run

IMAGES = 20
NAMES = [f"{index:02}.png" for index in range(IMAGES)]

DVC_YAML = """
stages:
  data:
    cmd: python pipeline/data.py
    deps: [pipeline/data.py]
    params: [synthetic.seed]
    outs: [data/raw]
  train:
    cmd: python pipeline/train.py
    deps: [pipeline/train.py, data/raw]
    params: [model.dropout]
    outs: [models/network, logs/train, logs/techniques, reports/train/history.csv]
  evaluate:
    cmd: python pipeline/evaluate.py
    deps: [pipeline/evaluate.py, models/network, data/raw]
    params: [decision.threshold]
    outs: [models/vehicle-classifier, reports/test/predictions.csv]
    metrics:
      - reports/test/metrics.json:
          cache: false
"""

PARAMS = """
synthetic: { seed: 1 }
model: { dropout: 0.5 }
decision: { threshold: 0.5 }
evaluate: { positive: emergency, bootstrap: 200, confidence: 0.9 }
"""

LOCK = """\
numpy==2.0.0 \\
    --hash=sha256:00
torch==2.14.0 ; sys_platform != 'plan9' \\
    --hash=sha256:00
"""

DATA = """
from pathlib import Path
from PIL import Image
from ruamel.yaml import YAML

seed = YAML(typ="safe").load(Path("params.yaml"))["synthetic"]["seed"]
folder = Path("data/raw/images")
folder.mkdir(parents=True)
for index in range(20):
    changed = seed if index < 5 else 1
    Image.new("RGB", (16, 16), (10 * index, 10 * changed, 0)).save(folder / f"{index:02}.png")
"""

TRAIN = """
import json, os
from pathlib import Path
import numpy as np
from ruamel.yaml import YAML
from safetensors.numpy import save_file

dropout = YAML(typ="safe").load(Path("params.yaml"))["model"]["dropout"]
for folder in ("models/network", "logs/train/training", "logs/techniques/one", "reports/train"):
    Path(folder).mkdir(parents=True, exist_ok=True)
processor = os.environ.get("PROCESSOR", "one")  # on another, weights differ a little
weight = np.full(4, dropout, np.float32)
weight[1] += 0.0001 * (processor != "one")
save_file({"weight": weight}, "models/network/model.safetensors")
Path("logs/train/training/events.out.tfevents.0").write_bytes(b"")
Path("logs/techniques/one/events.out.tfevents.0").write_bytes(b"")
header = "epoch,train_loss,train_accuracy,val_loss,val_accuracy"
rows = [f"{epoch},{1 - dropout * epoch},0.5,{1 - epoch / 4},0.5" for epoch in range(3)]
Path("reports/train/history.csv").write_text("\\n".join([header, *rows]) + "\\n")
facts = {"python": "3.11", "system": "", "processor": processor, "instructions": ["X86_V3"]}
libraries = {"numpy": os.environ.get("NUMPY", "2.0.0")}
note = {"stages": ["train"], **facts, "variables": {}, "libraries": libraries}
Path("reports/environment.json").write_text(json.dumps([note]))
"""

EVALUATE = """
import json
from pathlib import Path
from ruamel.yaml import YAML
from safetensors.numpy import load_file

threshold = YAML(typ="safe").load(Path("params.yaml"))["decision"]["threshold"]
weight = load_file("models/network/model.safetensors")["weight"]
dropout = round(float(weight[0]), 3)
wrong = {0.5: {0, 1, 2}, 0.2: {2, 3}}.get(dropout, set())
classes = ["other", "emergency"]
rows = ["image,label,predicted,probability_other,probability_emergency"]
for index in range(20):
    label = index % 2
    positive = 0.2 + 0.6 * (1 - label if index in wrong else label)
    predicted = classes[positive >= threshold]
    row = [f"{index:02}.png", classes[label], predicted, 1 - positive, positive]
    rows.append(",".join(map(str, row)))
Path("reports/test").mkdir(parents=True, exist_ok=True)
Path("models/vehicle-classifier").mkdir(parents=True, exist_ok=True)
model = json.dumps({"decision": {"rule": "cost", "threshold": threshold}})
Path("models/vehicle-classifier/model.json").write_text(model)
Path("reports/test/predictions.csv").write_text("\\n".join(rows) + "\\n")
metrics = {"images": 20, "accuracy": 1 - len(wrong) / 20}
metrics["at_threshold"] = {"recall": float(weight.mean())}
metrics["interval"] = {"accuracy": {"low": 0.0, "high": dropout}}
Path("reports/test/metrics.json").write_text(json.dumps(metrics))
"""

FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": PARAMS,
    "requirements.lock": LOCK,
    "pipeline/data.py": DATA,
    "pipeline/train.py": TRAIN,
    "pipeline/evaluate.py": EVALUATE,
    ".gitignore": ".cache/\n",
}


def make_project(folder: Path) -> Path:
    """Write the project and run it; two commits: `HEAD~1` with dropout 0.5, `HEAD` with 0.2."""
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    reproduce(folder, "dropout 0.5")
    replace(folder / "params.yaml", "dropout: 0.5", "dropout: 0.2")
    reproduce(folder, "dropout 0.2")
    return folder


def reproduce(project: Path, message: str) -> None:
    """Run what is out of date and commit the results."""
    dvc(project, "repro", "--quiet")
    commit(project, message)


def replace(path: Path, old: str, new: str) -> None:
    """Replace a part of a file, which must be there once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")
