"""What the file of a sweep may say, and where it is wrong if it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from revati import bench, catalogue, models
from revati.bench.figures import RequestLimits, check_statistic
from revati.errors import RevatiError, UsageError
from revati.launcher.clock import MODES

Scalar = bool | int | float | str | None


def _raises_value_error(check: Any) -> Any:
    """Pydantic collects ValueErrors, and passes everything else on."""

    def wrapped(value: Any) -> Any:
        try:
            check(value)
        except RevatiError as error:
            raise ValueError(str(error)) from None
        return value

    return wrapped


def _known_model(name: str) -> None:
    if not Path(name).expanduser().is_dir():
        models.get(name)


def _one_of(known: Sequence[str], what: str) -> Any:
    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"there is no {what} '{name}'; choose from {', '.join(known)}")
        return name

    return AfterValidator(check)


def _known_gpu(name: str) -> None:
    if not name.endswith(".toml"):  # a file beside the sweep's, which this does not know
        catalogue.get(name)


GpuName = Annotated[str, AfterValidator(_raises_value_error(_known_gpu))]
ModelName = Annotated[str, AfterValidator(_raises_value_error(_known_model))]
Statistic = Annotated[str, AfterValidator(_raises_value_error(check_statistic))]


class Strict(BaseModel):
    """No unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadSpec(Strict):
    """What the client sends: the options of `revati bench`."""

    num_prompts: PositiveInt = 100
    input_len: PositiveInt = 512
    output_len: PositiveInt = 128
    request_rate: PositiveFloat | None = None
    max_concurrency: PositiveInt | None = None
    seed: int = 0
    replay: Path | None = None
    replay_speed: PositiveFloat = 1.0

    def load(self, **changes: Any) -> bench.Load:
        """As the client wants it."""
        return bench.Load(**{**self.model_dump(), **changes})


class Configuration(Strict):
    """One deployment under one load."""

    engine: Annotated[str, _one_of(list(bench.ENGINES), "engine")] = "vllm"
    model: ModelName
    gpu: GpuName
    gpus: PositiveInt | None = None  # by default what the parallelism needs
    tp: PositiveInt = 1
    pp: PositiveInt = 1
    dp: PositiveInt = 1
    server_args: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    client_args: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    load: LoadSpec = LoadSpec()
    program: Path | None = None

    @property
    def gpu_count(self) -> int:
        """GPUs of the machine."""
        return self.gpus or self.tp * self.pp * self.dp


class GoodputSpec(Strict):
    """The least share of requests that must keep the limits."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.99
    ttft_ms: PositiveFloat | None = None
    tpot_ms: PositiveFloat | None = None
    e2el_ms: PositiveFloat | None = None

    @property
    def limits(self) -> RequestLimits:
        """What one request must keep."""
        return RequestLimits(self.ttft_ms, self.tpot_ms, self.e2el_ms)

    @model_validator(mode="after")
    def _says_something(self) -> GoodputSpec:
        if self.ttft_ms is None and self.tpot_ms is None and self.e2el_ms is None:
            raise ValueError("needs a limit: ttft_ms, tpot_ms or e2el_ms")
        return self


Limits = dict[Statistic, PositiveFloat]


class Slo(Strict):
    """Service level objectives: the most milliseconds of a statistic, or the goodput."""

    ttft_ms: Limits = Field(default_factory=dict)
    tpot_ms: Limits = Field(default_factory=dict)
    itl_ms: Limits = Field(default_factory=dict)
    e2el_ms: Limits = Field(default_factory=dict)
    goodput: GoodputSpec | None = None


class Capacity(Strict):
    """Search for the highest rate that meets the objectives."""

    low: PositiveFloat = 0.5  # requests/s
    high: PositiveFloat = 64.0
    precision: Annotated[float, Field(gt=0, lt=1)] = 0.1  # relative
    seconds: NonNegativeFloat = 0.0  # least length of a trial: it has more prompts if need be

    @model_validator(mode="after")
    def _is_a_range(self) -> Capacity:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


class Range(Strict):
    """A parameter of a random search that is drawn from an interval."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 where log is true")
        return self


class Sweep(Strict):
    """A whole file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "sweep"
    search: Literal["grid", "list", "random"] = "grid"
    samples: PositiveInt | None = None
    seed: int = 0
    clock: Annotated[str, _one_of(MODES, "clock")] = "modelled"
    ready_timeout_s: PositiveFloat = 1800.0
    configuration: dict[str, Any] = Field(default_factory=dict)
    vary: dict[str, list[Any] | Range] = Field(default_factory=dict)
    configurations: list[dict[str, Any]] = Field(default_factory=list)
    slo: Slo = Slo()
    price: dict[GpuName, NonNegativeFloat] = Field(default_factory=dict)  # of a GPU for an hour
    currency: str = "$"
    capacity: Capacity | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Sweep:
        if self.search == "list" and not self.configurations:
            raise ValueError("search: list needs configurations, a list of what differs")
        if self.search != "list" and self.configurations:
            raise ValueError(f"configurations belong to search: list, not {self.search}")
        if self.search == "list" and self.vary:
            raise ValueError(
                "vary belongs to search: grid or random; with list, say what differs in configurations"
            )
        if (self.search == "random") != (self.samples is not None):
            raise ValueError("samples and search: random need each other")
        if self.search == "grid" and any(isinstance(values, Range) for values in self.vary.values()):
            raise ValueError("a range (low, high) belongs to search: random; a grid needs lists")
        if any(isinstance(values, list) and not values for values in self.vary.values()):
            raise ValueError("a list of vary is empty")
        if self.capacity and self.slo == Slo():
            raise ValueError("capacity searches the highest rate that meets the slo; say one")
        return self


class Document:
    """The YAML text, which knows on which line a key stands."""

    def __init__(self, path: Path) -> None:
        """Reads it.

        Raises:
            UsageError: There is no such file, or it is no YAML.
        """
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self._node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.content = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read ({error}).") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "not readable"
            raise UsageError(f"{path}{where}: this is no YAML: {problem}.") from None
        if not isinstance(self.content, dict):
            raise UsageError(f"{path}: must be a mapping with the keys of a sweep (docs/sweeps.md).")

    def line(self, place: Sequence[Any]) -> int:
        """Where a key stands, or the last one on the way to it that exists."""
        node, line = self._node, 1
        for step in place:
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in node.value if pair[0].value == str(step)), None)
                if found is not None:
                    line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
        return line

    def has(self, place: Sequence[Any]) -> bool:
        """Whether the file says something there."""
        content: Any = self.content
        for step in place:
            try:
                content = content[step]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    def refuse(self, place: Sequence[Any], message: str) -> UsageError:
        """The error for a place in the file."""
        key = ".".join(map(str, place))
        return UsageError(f"{self.path}, line {self.line(place)}: {f'{key}: ' if key else ''}{message}.")

    def explain(self, error: ValidationError) -> UsageError:
        """The error for the first thing that pydantic did not like."""
        first = error.errors()[0]
        return self.refuse(self._place(first["loc"]), message(first))

    def _place(self, location: Sequence[Any]) -> list[Any]:
        """Without the names of types that pydantic puts between keys."""
        place: list[Any] = []
        for step in location:
            if isinstance(step, int) or self.has([*place, step]) or step == location[-1]:
                if step != "[key]" and not (isinstance(step, str) and "[" in step):
                    place.append(step)
        return place


def message(error: Any) -> str:
    """Pydantic's words, as a sentence of ours."""
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    if error["type"] == "missing":
        return "is missing"
    text = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return text[0].lower() + text[1:] if text[:1].isupper() and not text[1:2].isupper() else text


def read(path: Path) -> tuple[Sweep, Document]:
    """Reads the file of a sweep.

    Raises:
        UsageError: It cannot be read, or says something that is not allowed; with the line and the key.
    """
    document = Document(path)
    try:
        return Sweep.model_validate(document.content), document
    except ValidationError as error:
        raise document.explain(error) from None
