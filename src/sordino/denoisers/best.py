"""The engine ``best``: three DeepFilterNets answer as one."""

from sordino.denoisers import DenoiserInfo
from sordino.denoisers.deepfilternet import DELAY, DeepFilterNet
from sordino.denoisers.dfn3 import LICENCE
from sordino.denoisers.features import RATE
from sordino.denoisers.network import open_network
from sordino.denoisers.weights import DFN2, DFN3, DFN3_LL

WEIGHTS = {DFN3: 0.25, DFN3_LL: 0.5, DFN2: 0.25}
"""The network that is best alone counts as much as the two others, which hear otherwise, do together."""

FLOPS = 3.6e9
PRIME_SECONDS = 5.0
"""The larger network remembers longer than `dfn3`: 2 s lose 0.03 of PESQ and of DNSMOS, 10 s gain nothing."""

HIGHEST_EDGE = 100
"""5 kHz: the telephone only. With an image above 8 kHz the larger network takes steady hum for speech."""


def open_model() -> DeepFilterNet:
    """Load the networks.

    Raises:
        sordino.denoisers.weights.WeightsError: the weights of one are missing or not the pinned ones.
    """
    return DeepFilterNet(
        info=DenoiserInfo(name="best", licence=LICENCE, rate=RATE, delay=DELAY, flops=FLOPS),
        networks=tuple(open_network(archive) for archive in WEIGHTS),
        weights=tuple(WEIGHTS.values()),
        prime_seconds=PRIME_SECONDS,
        highest_edge=HIGHEST_EDGE,
    )
