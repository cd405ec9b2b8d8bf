"""Request bodies and path segments to domain values; every refusal names the element and what is legal there.

Source: "Submit an audio noise reduction job" of Cloud Infinite, and what the official SDKs send. Unknown elements are
ignored, the order of elements is free, and an empty element counts as absent. What the protocol has and this version
does not offer is refused, never ignored. The elements of NoiseReduction other than its Format and rate are extensions
of ours (docs/how-to/choose-the-sound.md).
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from sordino.domain.bucket import MAX_KEY_BYTES, split_bucket
from sordino.domain.job import (
    JOB_LEVELS,
    KEEP,
    LOUDNESS_RANGE,
    MAX_JOB_IDS_PER_QUERY,
    MAX_USER_DATA,
    QUEUE_TYPE,
    SAMPLE_RATES,
    STRENGTHS,
    TAG,
    AudioFormat,
    Channels,
    JobRequest,
    Loudness,
    NoiseReduction,
    Operation,
    Output,
    RateSpelling,
    loudness,
)
from sordino.errors import INVALID_ARGUMENT, INVALID_CONTENT, NOT_IMPLEMENTED
from sordino.wire import xml

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_DEPTH = 32
MAX_JOB_ID = 128

_REGION = re.compile(r"[a-z0-9-]{1,40}")
_QUEUE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_USER_DATA = re.compile(rf"[ -~]{{1,{MAX_USER_DATA}}}")
_LUFS = re.compile(r"-[1-9][0-9]?(\.[0-9]{1,2})?")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Part:
    """An element and where it stands in the document."""

    element: xml.Element
    path: str

    def find(self, name: str) -> "_Part | None":
        """The child of that name; None when it is absent or empty."""
        found = self.element.all(name)
        if len(found) > 1:
            raise INVALID_ARGUMENT(f"{self.path}.{name} is given {len(found)} times; give it once.")
        if not found or not (found[0].text or found[0].children):
            return None
        return _Part(found[0], f"{self.path}.{name}")

    def need(self, name: str) -> "_Part":
        """The child of that name."""
        return self._required(name, self.find(name), "it is required")

    def word(self, name: str) -> str | None:
        """The child's text without the white space around it; None when nothing is left."""
        part = self.find(name)
        return (part.element.text.strip() or None) if part else None

    def checked(self, name: str, valid: Callable[[str], object], legal: str) -> str | None:
        """The child's word, for which ``valid`` must give something true; None when it is absent."""
        word = self.word(name)
        if word is not None and not valid(word):
            raise INVALID_ARGUMENT(f"{self.path}.{name} is {_quote(word)}; use {legal}.")
        return word

    def need_checked(self, name: str, valid: Callable[[str], object], legal: str) -> str:
        """The same for a child that must be there."""
        return self._required(name, self.checked(name, valid, legal), f"use {legal}")

    def choice(self, name: str, legal: Iterable[_T]) -> _T | None:
        """The one of ``legal`` whose spelling is the child's word; None when it is absent."""
        options = {str(option): option for option in legal}
        word = self.checked(name, options.__contains__, f"one of {', '.join(options)}")
        return None if word is None else options[word]

    def whole(self, name: str, legal: range, unit: str) -> int | None:
        """The child's whole number; None when it is absent."""
        options = frozenset(map(str, legal))
        word = self.checked(name, options.__contains__, f"a whole number from {legal[0]} to {legal[-1]}, {unit}")
        return None if word is None else int(word)

    def refuse(self, name: str, what: str) -> None:
        """Answer NotImplemented when the child is there and not blank."""
        part = self.find(name)
        if part is not None and (part.element.children or part.element.text.strip()):
            raise NOT_IMPLEMENTED(f"{self.path}.{name}: {what} not offered yet by this version; leave it out.")

    def _required(self, name: str, value: _T | None, hint: str) -> _T:
        if value is None:
            raise INVALID_ARGUMENT(f"{self.path}.{name} is missing or empty; {hint}.")
        return value


def parse_job(body: bytes, models: Collection[str]) -> JobRequest:
    """Read the body of ``POST /jobs``.

    Args:
        body: the document.
        models: names of the engines that a job may choose from.

    Raises:
        ServiceError: ``MissingContent`` without a body, ``InvalidContent`` for what is no XML of root ``Request`` or
            larger than ``MAX_BODY_BYTES``, ``InvalidArgument`` for a value the protocol does not allow,
            ``NotImplemented`` for one it allows and this version does not offer yet.
    """
    root = xml.parse(body, max_bytes=MAX_BODY_BYTES, max_depth=MAX_BODY_DEPTH)
    if root.name != "Request":
        raise INVALID_CONTENT(f"The body's root element is {_quote(root.name)}; use Request.")
    request = _Part(root, "Request")
    operation = _single_operation(request)
    request.need_checked("Tag", TAG.__eq__, TAG)
    request.choice("QueueType", (QUEUE_TYPE,))
    _refuse_callbacks(request)
    return JobRequest(
        input_object=_input_object(request.need("Input")),
        operation=_operation(operation, models),
        queue_id=request.checked("QueueId", _QUEUE_ID.fullmatch, "the id of a queue of this bucket, or leave it out"),
    )


def parse_job_ids(segment: str) -> tuple[str, ...]:
    """Read the ids of ``GET /jobs/<id>[,<id>...]``, each once, in the order given.

    Ids are not checked for their form: one that cannot exist is simply not found.

    Args:
        segment: what follows ``/jobs/`` in the decoded path.

    Raises:
        ServiceError: ``InvalidArgument`` for no id, more than ten, or one longer than ``MAX_JOB_ID``.
    """
    job_ids = tuple(dict.fromkeys(filter(None, map(str.strip, segment.split(",")))))
    if not 1 <= len(job_ids) <= MAX_JOB_IDS_PER_QUERY:
        raise INVALID_ARGUMENT(f"{len(job_ids)} job ids are given; give 1 to {MAX_JOB_IDS_PER_QUERY}, comma separated.")
    if any(len(job_id) > MAX_JOB_ID for job_id in job_ids):
        raise INVALID_ARGUMENT(f"A job id is longer than {MAX_JOB_ID} characters.")
    return job_ids


def _single_operation(request: _Part) -> _Part:
    """The only Operation; the form with several, each with its own Tag, is refused."""
    operations = request.element.all("Operation")
    if len(operations) > 1:
        raise NOT_IMPLEMENTED("Request.Operation: several in one request are not offered yet; send one request each.")
    operation = request.need("Operation")
    operation.refuse("Tag", "the form with a Tag in each Operation is")
    return operation


def _refuse_callbacks(request: _Part) -> None:
    """Callbacks are not offered yet; what asks for none is fine."""
    request.choice("CallBackFormat", ("XML", "JSON"))
    if request.choice("CallBackType", ("Url", "TDMQ")) == "TDMQ":
        raise NOT_IMPLEMENTED("Request.CallBackType: TDMQ callbacks are not offered yet by this version; leave it out.")
    request.refuse("CallBackMqConfig", "TDMQ callbacks are")
    request.refuse("CallBackKafkaConfig", "Kafka callbacks are")
    if request.word("CallBack") not in (None, "no"):
        raise NOT_IMPLEMENTED(
            "Request.CallBack: callbacks are not offered yet by this version; use no or leave it out."
        )


def _input_object(part: _Part) -> str:
    part.refuse("Url", "an input by URL is")
    key = _key(part)
    if key.lower().endswith(".m3u8"):
        raise INVALID_ARGUMENT("Request.Input.Object is a playlist (m3u8); name an audio or video file.")
    return key


def _operation(part: _Part, models: Collection[str]) -> Operation:
    part.refuse("TemplateId", "templates are")
    return Operation(
        noise_reduction=_noise_reduction(part.find("NoiseReduction"), models),
        output=_output(part.need("Output")),
        user_data=_user_data(part.find("UserData")),
        job_level=part.choice("JobLevel", JOB_LEVELS),
    )


def _noise_reduction(part: _Part | None, models: Collection[str]) -> NoiseReduction:
    """The order, with the protocol's defaults."""
    if part is None:
        return NoiseReduction()
    part.refuse("Dereverb", "the removal of reverberation is")
    form = part.choice("Format", AudioFormat) or NoiseReduction().format
    spelling, rate = _rate(part, form)
    return NoiseReduction(
        format=form,
        sample_rate=rate,
        spelling=spelling,
        model=part.choice("Model", models),
        strength=part.whole("Strength", STRENGTHS, "dB"),
        channels=part.choice("Channels", Channels),
        loudness=_loudness(part),
        video=_video(part, form),
    )


def _rate(part: _Part, form: AudioFormat) -> tuple[RateSpelling, int]:
    """The rate in Hz and its spelling; both spellings may be there if they say the same."""
    rates = {spelling: part.choice(spelling.value, SAMPLE_RATES) for spelling in RateSpelling}
    given = {spelling: rate for spelling, rate in rates.items() if rate is not None}
    if len(set(given.values())) > 1:
        raise INVALID_ARGUMENT(f"{part.path} has a SampleRate and a different Samplerate; give one of them.")
    spelling, rate = next(iter(given.items()), (RateSpelling.JOB, NoiseReduction().sample_rate))
    if rate not in form.sample_rates:
        legal = ", ".join(map(str, form.sample_rates))
        raise INVALID_ARGUMENT(f"{part.path}.{spelling} is '{rate}'; with Format {form} use one of {legal}.")
    return spelling, rate


def _loudness(part: _Part) -> Loudness | None:
    low, high = LOUDNESS_RANGE

    def valid(word: str) -> bool:
        return word == KEEP or (_LUFS.fullmatch(word) is not None and low <= Decimal(word) <= high)

    word = part.checked("Loudness", valid, f"a number from {low} to {high}, LUFS, with at most two decimals, or {KEEP}")
    return None if word is None else loudness(word)


def _video(part: _Part, form: AudioFormat) -> bool:
    if part.choice("Video", (KEEP,)) is None:
        return False
    if not form.takes_video:
        raise INVALID_ARGUMENT(f"{part.path}.Video is '{KEEP}'; use Format {AudioFormat.M4A} with it, or leave it out.")
    return True


def _output(part: _Part) -> Output:
    return Output(
        region=part.need_checked("Region", _REGION.fullmatch, "a region such as ap-guangzhou: a-z, 0-9 and '-'"),
        bucket=part.need_checked("Bucket", split_bucket, "<name>-<APPID> of a-z, 0-9 and '-', at most 60 characters"),
        object=_key(part),
    )


def _key(part: _Part) -> str:
    """The child Object, an object's key, as written: white space belongs to a key."""
    key = part.need("Object").element.text
    if key.startswith("/"):
        # COS keys do not begin with a slash, and SDKs drop one: nobody would find the object that is meant here.
        raise INVALID_ARGUMENT(f"{part.path}.Object begins with '/'; write the key without it.")
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
        raise INVALID_ARGUMENT(f"{part.path}.Object must be a key of 1 to {MAX_KEY_BYTES} bytes of UTF-8.")
    return key


def _user_data(part: _Part | None) -> str | None:
    if part is None:
        return None
    text = part.element.text
    if _USER_DATA.fullmatch(text) is None:
        raise INVALID_ARGUMENT(f"{part.path} must be at most {MAX_USER_DATA} printable ASCII characters.")
    return text


def _quote(word: str) -> str:
    """A client's word for a message, cut to a readable length."""
    return repr(word if len(word) <= 64 else f"{word[:64]}...")
