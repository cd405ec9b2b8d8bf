"""The engine ``dfn3``: DeepFilterNet 3, levelled and primed."""

from sordino.denoisers import DenoiserInfo
from sordino.denoisers.deepfilternet import DELAY, DeepFilterNet
from sordino.denoisers.features import RATE
from sordino.denoisers.network import open_network
from sordino.denoisers.weights import DFN3

LICENCE = "MIT OR Apache-2.0"
FLOPS = 0.70e9
PRIME_SECONDS = 2.0
"""More gains nothing (2, 5 and 10 s were compared), none at all loses 0.4 dB of SI-SDR."""

HIGHEST_EDGE = 180
"""9 kHz: recordings of the telephone and of 16 kHz."""


def open_model() -> DeepFilterNet:
    """Load the network.

    Raises:
        sordino.denoisers.weights.WeightsError: the weights are missing or not the pinned ones.
    """
    return DeepFilterNet(
        info=DenoiserInfo(name="dfn3", licence=LICENCE, rate=RATE, delay=DELAY, flops=FLOPS),
        networks=(open_network(DFN3),),
        weights=(1.0,),
        prime_seconds=PRIME_SECONDS,
        highest_edge=HIGHEST_EDGE,
    )
