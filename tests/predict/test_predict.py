"""`bluelight predict`: its inputs, the predictions that it writes, and unusable images."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks import predict as benchmark
from pipeline import cli, load
from pipeline.common import paths
from pipeline.common.artifact import Decision
from pipeline.predict import classifier, command
from tests.helpers import artifacts
from tests.helpers.imports import ROOT
from tests.helpers.pictures import encoded, write, write_table
from tests.helpers.processes import environment


class Printed(NamedTuple):
    """What a command printed, and its exit status."""

    out: str
    err: str
    status: int


Predict = Callable[..., Printed]


@pytest.fixture
def predict(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Predict:
    """Run the command in a folder that has a model."""
    artifacts.write(elsewhere / paths.MODEL)

    def run(*arguments: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["bluelight", "predict", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return Printed(printed.out, printed.err, int(stopped.value.code or 0))

    return run


@pytest.fixture
def photos(elsewhere: Path) -> Path:
    """Four photos in folders, among other files."""
    for index, name in enumerate(("b.png", "a.PNG", "deep/er/c.png", "deep/d.png")):
        write(elsewhere / "photos" / name, encoded(index))
    for name in (".hidden.png", ".cache/x.png", "notes.txt"):
        write(elsewhere / "photos" / name, b"no image")
    return elsewhere / "photos"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def named(printed: Printed) -> list[str]:
    assert (printed.err, printed.status) == ("", 0)
    return [row["image"] for row in rows(printed.out)]


# ---- what can be named


@pytest.mark.usefixtures("photos")
def test_files_folders_and_patterns(predict: Predict) -> None:
    everything = ["photos/a.PNG", "photos/b.png", "photos/deep/d.png", "photos/deep/er/c.png"]
    assert named(predict("photos")) == everything
    assert named(predict("photos/b.png", "./photos/a.PNG")) == ["photos/b.png", "photos/a.PNG"]
    assert named(predict("photos/*.png")) == ["photos/b.png"]
    assert named(predict("photos/**/*.png")) == ["photos/b.png", *everything[2:]]
    assert named(predict("photos/d*")) == everything[2:]


def test_absolute_patterns(predict: Predict, photos: Path) -> None:
    assert named(predict(f"{photos}/[ab].*")) == [f"{photos}/a.PNG", f"{photos}/b.png"]


def test_a_file_may_have_the_characters_of_a_pattern(predict: Predict) -> None:
    write(Path("[1] *.png"), encoded(1))
    assert named(predict("[1] *.png")) == ["[1] *.png"]


def test_the_images_of_a_table_in_its_order(predict: Predict, elsewhere: Path) -> None:
    write(elsewhere / "set/z.png", encoded(1))
    write(elsewhere / "set/images/deep/y.png", encoded(2))
    write_table(elsewhere / "set", [("z.png", "1"), ("deep/y.png", "0")])
    assert named(predict("set/train.csv")) == ["z.png", "deep/y.png"]


def test_a_table_and_its_images_may_lie_apart(predict: Predict, photos: Path) -> None:
    write(photos.parent / "tables/test.csv", b"\xef\xbb\xbfid, image \n1,b.png\n\n2,deep/d.png\n")
    assert named(predict("tables/test.csv", "--images", "photos")) == ["b.png", "deep/d.png"]


def test_a_single_column_names_images_whatever_it_is_called(predict: Predict, photos: Path) -> None:
    write(photos / "list.csv", b"file\nb.png\n")
    assert named(predict("photos/list.csv")) == ["b.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg not found; name files"),
        (["photos/*.jpeg"], "no file matches photos/*.jpeg"),
        (["empty"], "empty holds no images"),
        (["photos", "--images", "photos"], "no table (a .csv file) is named"),
        (["photos/b.png", "--images", "nowhere"], "--images: there is no folder nowhere"),
        (["two.csv"], "two.csv has the columns id, file; call the one that names the images"),
        (["none.csv"], "none.csv names no image"),
        (["photos", "--model", "nowhere"], "there is no model in nowhere"),
        (["photos", "--output", "photos"], "--output: photos is a folder"),
        (["photos", "--output", "photos/b.png/x.csv"], "photos/b.png/x.csv cannot be written"),
        (["photos", "--submission", "--format", "json"], "--submission is a CSV table"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_a_mistake_is_one_line(
    predict: Predict, elsewhere: Path, arguments: list[str], message: str
) -> None:
    (elsewhere / "empty").mkdir()
    write(elsewhere / "two.csv", b"id,file\n1,photos/b.png\n")
    write(elsewhere / "none.csv", b"image\n")
    printed = predict(*arguments)
    assert (printed.out, printed.status) == ("", 1)
    assert printed.err.startswith("bluelight: ")
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1


# ---- what is written


def test_csv_has_label_and_probabilities(predict: Predict, photos: Path) -> None:
    model = load(paths.MODEL)
    printed = predict("photos")
    assert printed.out.splitlines()[0] == "image,label,probability_other,probability_emergency"
    for row in rows(printed.out):
        (expected,) = model.predict([photos.parent / row["image"]])
        assert row["label"] == expected.label
        for name, share in expected.probabilities.items():
            assert float(row[f"probability_{name}"]) == pytest.approx(share, abs=1e-6)


@pytest.mark.usefixtures("photos")
def test_json_says_the_same(predict: Predict) -> None:
    found = json.loads(predict("photos", "--format", "json").out)
    for one, row in zip(found, rows(predict("photos").out), strict=True):
        assert (one["image"], one["label"]) == (row["image"], row["label"])
        assert list(one["probabilities"]) == artifacts.CLASSES
        assert str(one["probabilities"]["other"]) == row["probability_other"]


@pytest.mark.usefixtures("photos")
def test_a_table_for_people(predict: Predict) -> None:
    lines = predict("photos", "--format", "table").out.splitlines()
    assert lines[0].split() == ["image", "label", "other", "emergency"]
    image, label, _, share = lines[1].split()
    assert (image, label[0] in "oe", share[-1]) == ("photos/a.PNG", True, "%")
    assert len({line.rindex("%") for line in lines[1:]}) == 1


@pytest.mark.usefixtures("photos")
def test_a_table_of_many_classes_has_the_most_probable_ones(predict: Predict) -> None:
    classes = [f"class {letter}" for letter in "abcdefghij"]
    decision = Decision(temperature=1, positive=None, threshold=None, rule="most_probable")
    artifacts.write(paths.MODEL, classes=classes, decision=decision)
    (first, *_) = json.loads(predict("photos", "--format", "json").out)
    ranked = sorted(first["probabilities"].items(), key=lambda one: -one[1])
    assert len(ranked) == 10
    assert first["label"] == ranked[0][0]
    header, line, *_ = predict("photos", "--format", "table").out.splitlines()
    assert header.split("  ")[0] == "image"
    assert all(f"{name} {share:.1%}" in line for name, share in ranked[:3])
    assert ranked[3][0] not in line


@pytest.mark.usefixtures("photos")
def test_a_name_is_no_markup(predict: Predict) -> None:
    write(Path("x/[red]:car:.png"), encoded(1))
    assert "x/[red]:car:.png" in predict("x", "--format", "table").out


@pytest.mark.usefixtures("photos")
def test_the_form_of_a_file_is_told_by_its_suffix(predict: Predict) -> None:
    printed = predict("photos").out
    assert predict("photos", "--output", "new/found.csv") == Printed("", "", 0)
    assert Path("new/found.csv").read_text(encoding="utf-8") == printed
    predict("photos", "--output", "found.json")
    assert len(json.loads(Path("found.json").read_text(encoding="utf-8"))) == 4


@pytest.mark.usefixtures("photos")
def test_a_threshold_instead_of_the_models(predict: Predict) -> None:
    for threshold, label in (("0", "emergency"), ("1", "other")):
        found = rows(predict("photos", "--threshold", threshold).out)
        assert {row["label"] for row in found} == {label}


@pytest.mark.usefixtures("photos")
def test_a_threshold_needs_a_positive_class(predict: Predict) -> None:
    decision = Decision(temperature=1, positive=None, threshold=None, rule="most_probable")
    artifacts.write(paths.MODEL, classes=["a", "b", "c"], decision=decision)
    assert (
        "--threshold: the model has no positive class"
        in predict("photos", "--threshold", "0.5").err
    )
    assert {row["label"] for row in rows(predict("photos").out)} <= {"a", "b", "c"}


@pytest.mark.usefixtures("photos")
def test_the_number_of_cores_changes_nothing(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "BLOCK", 2)
    found = set()
    for cores in (1, 3):
        monkeypatch.setattr(classifier, "available_cores", lambda cores=cores: cores)
        found.add(predict("photos", "photos").out)
    assert len(found) == 1


@pytest.mark.usefixtures("photos")
def test_many_images_with_a_progress_bar(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MANY", 2)
    expected = predict("photos").out
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    printed = predict("photos", "--output", "found.csv")
    assert "100%" in printed.err
    assert Path("found.csv").read_text(encoding="utf-8") == expected
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # the lines themselves show it
    assert "100%" not in predict("photos", "--format", "csv").err
    assert "100%" in predict("photos", "--output", "found.csv").err


# ---- submissions


@pytest.mark.usefixtures("photos")
def test_a_submission_has_the_hackathons_columns_and_predicts_at_a_half(predict: Predict) -> None:
    shares = [float(row["probability_emergency"]) for row in rows(predict("photos").out)]
    printed = predict("photos", "--submission")
    lines = printed.out.splitlines()
    assert lines[0] == "image_names,emergency_or_not"
    names = ["a.PNG", "b.png", "d.png", "c.png"]
    ones = [str(int(share >= 0.5)) for share in shares]
    assert lines[1:] == [f"{name},{one}" for name, one in zip(names, ones, strict=True)]
    assert "predictions at threshold 0.5, not at the model's 0.4" in printed.err
    assert printed.status == 0


@pytest.mark.usefixtures("photos")
def test_a_submission_may_have_the_models_threshold(predict: Predict) -> None:
    labels = [row["label"] for row in rows(predict("photos").out)]
    printed = predict("photos", "--submission", "--threshold", "0.4")
    ones = [line.split(",")[1] for line in printed.out.splitlines()[1:]]
    assert ones == [str(int(label == "emergency")) for label in labels]
    assert printed.err == ""


def test_a_submission_keeps_the_names_of_a_table(predict: Predict, photos: Path) -> None:
    write(photos / "test.csv", b"image_names\ndeep/d.png\nb.png\n")
    printed = predict("photos/test.csv", "--submission", "--threshold", "0")
    assert printed.out == "image_names,emergency_or_not\ndeep/d.png,1\nb.png,1\n"


@pytest.mark.usefixtures("photos")
def test_labels_0_and_1_are_a_submissions_own(predict: Predict) -> None:
    decision = Decision(temperature=1, positive="1", threshold=0.0, rule="recall")
    artifacts.write(paths.MODEL, classes=["0", "1"], decision=decision)
    submission = predict("photos/b.png", "--submission", "--threshold", "0")
    assert submission.out.splitlines()[1] == "b.png,1"


@pytest.mark.usefixtures("photos")
def test_other_classes_cannot_be_submitted(predict: Predict) -> None:
    decision = Decision(temperature=1, positive=None, threshold=None, rule="most_probable")
    artifacts.write(paths.MODEL, classes=["cat", "dog"], decision=decision)
    printed = predict("photos", "--submission")
    assert "the model's classes are cat, dog; emergency_or_not needs two classes" in printed.err


@pytest.mark.usefixtures("photos")
def test_a_submission_cannot_have_a_name_twice(predict: Predict) -> None:
    write(Path("other/b.png"), encoded(9))
    assert "2 are called b.png" in predict("photos", "other", "--submission").err


# ---- bad images


def spoil(photos: Path) -> None:
    write(photos / "b.png", encoded(0)[:200])


def test_a_bad_image_is_told_and_left_out(predict: Predict, photos: Path) -> None:
    spoil(photos)
    printed = predict("photos")
    assert [row["image"] for row in rows(printed.out)] == [
        "photos/a.PNG",
        "photos/deep/d.png",
        "photos/deep/er/c.png",
    ]
    assert printed.status == 1
    first, last = printed.err.splitlines()
    assert first.startswith("bluelight: photos/b.png is truncated")
    assert last == "bluelight: 1 unusable image was skipped"


def test_an_image_that_a_table_invents_is_bad(predict: Predict, photos: Path) -> None:
    write(photos / "test.csv", b"image_names\nb.png\nnone.png\n")
    printed = predict("photos/test.csv", "--output", "found.csv")
    assert "photos/none.png cannot be read (No such file" in printed.err
    assert printed.status == 1
    assert len(rows(Path("found.csv").read_text(encoding="utf-8"))) == 1


def test_images_that_are_all_bad_leave_an_empty_table(predict: Predict) -> None:
    write(Path("bad/a.png"), b"no image")
    assert predict("bad").out == "image,label,probability_other,probability_emergency\n"
    assert predict("bad", "--format", "json").out == "[]\n"


@pytest.mark.parametrize("output", [(), ("--output", "found.csv")])
def test_strict_writes_nothing(predict: Predict, photos: Path, output: tuple[str, ...]) -> None:
    spoil(photos)
    printed = predict("photos", "--strict", *output)
    assert (printed.out, printed.status) == ("", 1)
    assert printed.err.startswith("bluelight: photos/b.png is truncated")
    assert len(printed.err.splitlines()) == 1
    assert not Path("found.csv").exists()


@pytest.mark.usefixtures("photos")
def test_strict_is_the_same_where_all_is_well(predict: Predict) -> None:
    assert predict("photos", "--strict") == predict("photos")


# ---- for real


@pytest.mark.usefixtures("photos", "predict")
def test_it_runs_on_its_own_and_stops_when_nobody_reads() -> None:
    line = f"{sys.executable} -m pipeline predict photos | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "image,label,probability_other,probability_emergency\n"
    assert done.stderr == ""


def test_the_benchmark_tells_of_one_photo_and_of_many(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts.write(elsewhere / paths.MODEL)
    write(elsewhere / "photos/a.jpg", encoded(5))
    arguments = ["--photos", "photos", "--images", "70", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["predict.py", *arguments])
    benchmark.main()
    printed = capsys.readouterr().out
    assert re.search(r"one photo +│ +[0-9.]+ \(", printed)
    assert re.search(r"70 photos +│ +[0-9.]+ \(", printed)
