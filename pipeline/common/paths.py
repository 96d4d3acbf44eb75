"""Where each stage reads and writes, relative to the root of the project.

`dvc.yaml` declares the same places; a test holds the two against each other.
"""

from pathlib import Path

PARAMS = Path("params.yaml")

CACHE = Path(".cache")  # what was downloaded; no output, so that no rerun need download it again
RESUME = Path(".resume")  # states of interrupted runs; no output, or DVC would delete them first

SOURCE = Path("data/source")  # what fetch has read, for DVC to watch; in git

RAW = Path("data/raw")
RAW_IMAGES = RAW / "images"
RAW_LABELS = RAW / "labels.csv"
RAW_MANIFEST = RAW / "manifest.json"

SPLIT = Path("data/split")
SPLIT_CSV = SPLIT / "split.csv"
SPLIT_AUDIT = SPLIT / "audit.json"
SPLIT_CONTACT_SHEET = SPLIT / "contact_sheet.png"

PACKED = Path("data/packed")

FEATURES = Path("data/features")  # a folder for each split, and `model`
FEATURES_MODEL = FEATURES / "model"
FEATURES_ONNX = FEATURES_MODEL / "features.onnx"

NETWORK = Path("models/network")  # as trained
MODEL = Path("models/vehicle-classifier")  # the artifact, for its users

TRAIN_REPORT = Path("reports/train")
TRAIN_METRICS = TRAIN_REPORT / "metrics.json"
TRAIN_HISTORY = TRAIN_REPORT / "history.csv"
TRAIN_PREVIEW = TRAIN_REPORT / "augmentation.png"
TRAIN_KINDS = TRAIN_REPORT / "augmentation_kinds"  # a picture for each kind
TRAIN_LOGS = Path("logs/train")

ABLATION_REPORT = Path("reports/ablation")  # a folder for each technique
ABLATION_LOGS = Path("logs/ablation")  # every run
TECHNIQUE_LOGS = Path("logs/techniques")  # one mean curve for each technique
TECHNIQUE_PARAMS = "params.json"

COMPARISON = Path("reports/comparison.json")
COMPARISON_TABLE = Path("reports/techniques.csv")
COMPARISON_HISTORY = Path("reports/histories.csv")
COMPARISON_PLOTS = Path("reports/comparison")

TEST_REPORT = Path("reports/test")
TEST_METRICS = TEST_REPORT / "metrics.json"
TEST_ESTIMATES = TEST_REPORT / "estimates.json"
TEST_PREDICTIONS = TEST_REPORT / "predictions.csv"
TEST_ROC = TEST_REPORT / "roc.json"
TEST_CONFIDENT_ERRORS = TEST_REPORT / "confident_errors.png"
TEST_LEAST_CONFIDENT = TEST_REPORT / "least_confident.png"
TEST_PRECISION_RECALL = TEST_REPORT / "precision_recall.json"
TEST_RELIABILITY = TEST_REPORT / "reliability.csv"
TEST_THRESHOLDS = TEST_REPORT / "thresholds.json"
TEST_CONFUSION = TEST_REPORT / "confusion.json"
TEST_REFERENCE_MODELS = TEST_REPORT / "reference_models.json"

REPORT_OVERVIEW = Path("reports/overview.png")
REPORT_HTML = Path("reports/index.html")
REPORT_MARKDOWN = Path("reports/report.md")

ENVIRONMENT = Path("reports/environment.json")  # what the stages ran on; in git, no output
