"""``make spectrograms``: recordings of a set before and after, and the clean ones, as pictures."""

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import sordino
from sordino.audio.order import DEFAULT_DENOISER
from sordino.bench import corpus, recording
from sordino.bench.corpus import Pair
from sordino.bench.errors import BenchError
from spectrogram import draw

COUNT: Final = 5
LONGEST_SECONDS: Final = 60.0
DPI: Final = 85


def main() -> int:
    """Draw the pictures; the exit status."""
    options = _options()
    try:
        pairs = corpus.find(options.data, rates=[options.rate])
        chosen = [_named(pairs, name) for name in options.names.split(",")] if options.names else spread(pairs, COUNT)
        options.output.mkdir(parents=True, exist_ok=True)
        for pair in chosen:
            path = options.output / f"spectrogram-{pair.name}.png"
            draw(path, panels(pair, options.engine), pair.rate, dpi=DPI)
            print(path)
    except (BenchError, OSError, sordino.MediaError, sordino.UnknownDenoiserError) as error:
        print(f"spectrograms: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw recordings of a set before and after.")
    parser.add_argument("--data", type=Path, required=True, help="directory with a manifest.csv")
    parser.add_argument("--rate", type=int, default=16000, help="sample rate of the recordings to take, Hz")
    parser.add_argument(
        "--names", help=f"ids of recordings with commas between; by default {COUNT} spread over the SNRs"
    )
    parser.add_argument("--engine", default=DEFAULT_DENOISER)
    parser.add_argument("--output", type=Path, default=Path("docs/images"), help="directory of the pictures")
    return parser.parse_args()


def _named(pairs: list[Pair], name: str) -> Pair:
    for pair in pairs:
        if pair.name == name.strip():
            return pair
    raise BenchError(f"there is no recording {name!r}")


def spread(pairs: list[Pair], count: int) -> list[Pair]:
    """So many pairs, one of each SNR from the noisiest on, and of as many kinds of noise as there are."""
    chosen: list[Pair] = []
    snrs = sorted({pair.snr for pair in pairs})
    for number in range(min(count, len(pairs))):
        left = [pair for pair in pairs if pair not in chosen]
        of_snr = [pair for pair in left if pair.snr == snrs[number % len(snrs)]] or left
        noises = {pair.noise for pair in chosen}
        chosen.append(next((pair for pair in of_snr if pair.noise not in noises), of_snr[0]))
    return chosen


def panels(pair: Pair, engine: str) -> dict[str, NDArray[np.float32]]:
    """The recording, what an engine makes of it, and the clean one, by title; a minute at most."""
    end = round(LONGEST_SECONDS * pair.rate)
    noisy, clean = (recording.read(path)[0][:end] for path in (pair.noisy, pair.clean))
    noise = pair.noise or "noise"
    return {
        f"{pair.name} before: {noise}, SNR {pair.snr:g} dB": noisy,
        f"After: {engine}": sordino.denoise(noisy, pair.rate, denoiser=engine),
        "The clean recording, which the engine does not know": clean,
    }


if __name__ == "__main__":
    sys.exit(main())
