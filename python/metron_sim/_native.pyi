from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, final

#: What errors call it, its text, where its relative paths start, `path=value` overrides.
Given: TypeAlias = tuple[str, str, str, Sequence[str]]
Progress: TypeAlias = Callable[[str, int, int], object]

version: str

@final
class Table:
    def __len__(self) -> int: ...
    @property
    def column_names(self) -> list[str]: ...
    @property
    def nbytes(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any: ...
    def __arrow_c_schema__(self) -> Any: ...

@final
class Runs:
    def requests(self) -> Table: ...
    def tokens(self) -> Table: ...
    def iterations(self, jobs: int) -> Table: ...
    def stalls(self, top: int, jobs: int) -> Table: ...
    def page(self, jobs: int) -> str: ...

@final
class Answer:
    @property
    def exit(self) -> int: ...
    @property
    def result(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def page(self) -> str | None: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def runs(self) -> Runs | None: ...

@final
class Request:
    """What is known of a request at the moment when a policy was handed it; `step.view(request)` looks
    again."""

    @property
    def id(self) -> int:
        """Its number in the whole run, in order of arrival."""
    @property
    def arrival_s(self) -> float:
        """When it arrived, seconds."""
    @property
    def prompt_tokens(self) -> int:
        """Prompt length in tokens."""
    @property
    def max_tokens(self) -> int:
        """The longest answer that the client declared."""
    @property
    def priority(self) -> int:
        """Lower is more urgent."""
    @property
    def class_index(self) -> int:
        """Index of its class."""
    @property
    def tokens(self) -> int:
        """Tokens known: the prompt and the output so far."""
    @property
    def generated(self) -> int:
        """Output tokens so far."""
    @property
    def computed(self) -> int:
        """Tokens whose KV is computed."""
    @property
    def is_prefilling(self) -> bool:
        """Whether its prefill is unfinished."""
    @property
    def prefill_left(self) -> int:
        """Prefill tokens not yet computed."""
    @property
    def blocks(self) -> int:
        """KV blocks that it holds."""
    @property
    def scheduled(self) -> int:
        """Tokens of it in the batch being formed."""
    @property
    def admitted_now(self) -> bool:
        """Whether it was admitted in the step being formed."""

@final
class Standing:
    """What a request is promised, and how it stands with that."""

    @property
    def ttft_s(self) -> float:
        """Its first token is due so many seconds after its arrival."""
    @property
    def tbt_s(self) -> float:
        """The next token is due so many seconds after the deadline of a token that was on time, or after a token
        that was late."""
    @property
    def fluid_index(self) -> float:
        """The index from which on it is fluid: `on_time / (on_time + missed)` is to reach it."""
    @property
    def next_deadline_s(self) -> float:
        """When its next token is due, seconds."""
    @property
    def on_time(self) -> int:
        """Tokens that came by their deadlines."""
    @property
    def late(self) -> int:
        """Tokens that came late."""
    @property
    def missed(self) -> int:
        """Deadlines missed: one for a late token, and one more for each further `tbt_s` that it was late."""
    @property
    def first_token_s(self) -> float | None:
        """When its first token came, seconds."""
    @property
    def last_token_s(self) -> float | None:
        """When its last token so far came, seconds."""
    @property
    def predicted_answer(self) -> int | None:
        """How long its answer is predicted to be, in tokens, where the scenario has such predictions."""
    @property
    def session(self) -> int | None:
        """The conversation that it belongs to, where the workload has some."""

@final
class Past:
    """An iteration that is over."""

    @property
    def predicted_s(self) -> float:
        """How many seconds it was expected to take when it was planned."""
    @property
    def actual_s(self) -> float:
        """How many seconds it took."""
    @property
    def ended_s(self) -> float:
        """When it was over, seconds: no two of a replica are at once."""
    @property
    def prefilled(self) -> bool:
        """Whether prompts were computed in it."""

@final
class Step:
    """A replica at the moment of a decision: what a policy reads, and the verbs with which it forms a batch.

    Use it only while `schedule` runs. `admit` and `run` answer `False`, and change nothing, where KV blocks are
    short. A verb that breaks a rule raises `PolicyError`, which names it and the request.
    """

    @property
    def now_s(self) -> float:
        """The time of the decision, seconds."""
    @property
    def seats_used(self) -> int:
        """Requests that hold a seat."""
    @property
    def waiting_len(self) -> int:
        """Number of waiting requests."""
    @property
    def running_len(self) -> int:
        """Number of running requests, decoding or prefilling."""
    @property
    def decoding_len(self) -> int:
        """Number of requests that can decode."""
    @property
    def free_blocks(self) -> int:
        """Free KV blocks."""
    @property
    def block_tokens(self) -> int:
        """Tokens in a KV block."""
    @property
    def blocks_for_decodes(self) -> int:
        """KV blocks that a step of all decodes takes."""
    def waiting_at(self, place: int) -> Request | None:
        """The waiting request at a place of the queue, 0 being its head."""
    def waiting(self) -> list[Request]:
        """All waiting requests in queue order."""
    def running(self) -> list[Request]:
        """Running requests in order of admission."""
    def prefilling(self) -> list[Request]:
        """Running requests whose prefill is unfinished, in order of admission."""
    def view(self, request: Request) -> Request:
        """What is known of a request now."""
    def blocks_to_admit(self, tokens: int) -> int:
        """KV blocks that an admission with so many tokens takes."""
    def more_blocks_for(self, request: Request, tokens: int) -> int:
        """KV blocks that a running request needs for so many tokens more."""
    def admit(self, request: Request, tokens: int, hold_tokens: int = 0) -> bool:
        """Takes a waiting request into the running list and schedules `tokens` of its prompt, with KV blocks
        for `hold_tokens` of its tokens (at least those scheduled are held)."""
    def run(self, request: Request, tokens: int = 1) -> bool:
        """Schedules a running request: 1 token for a decode, a chunk for a prefill."""
    def decode_all(self) -> bool:
        """Schedules a token for every request that decodes, where KV blocks suffice for all; says `False`, and
        does nothing, where they do not. Much faster than naming each."""
    def repeats(self, keep_free: int = 0) -> None:
        """Promises that this batch of decodes alone will be decided again, unchanged, until a request arrives
        or ends, or fewer than `keep_free` KV blocks would stay free: `schedule` is not called until then.
        Call it after `decode_all` with nothing else in the batch."""
    def preempt(self, request: Request) -> int:
        """Takes a running request's KV blocks and seat: it goes back to the queue and computes anew. Tells how
        many tokens of it were in the batch."""
    def drop_request(self, request: Request) -> None:
        """Gives up a waiting request for good."""
    def hold(self, reason: str) -> None:
        """Says why the queue's head was left waiting: `no_seat`, `no_kv_blocks`, `no_token_budget`,
        `preempting`, `deferred`, `relegated`, `sliver` or `slack_saved`. `explain` tells it."""
    # Where the class has `deadlines = True`:
    def standing(self, request: Request) -> Standing:
        """What a request is promised, and how it stands with that."""
    def least_deadline_s(self, from_s: float = 0.0) -> float | None:
        """When the first of the tokens of all that decode is due, seconds; `None` where nobody decodes. Those
        that are due before `from_s` are late in any case: of them the next instant at which one more deadline is
        missed counts. Nobody is visited."""
    @property
    def starts_at_s(self) -> float:
        """When the batch being formed will start, seconds: now, or when the one in flight is expected to be
        over."""
    def predict_s(self, prompts: Sequence[tuple[Request, int]] = ..., decodes: bool = True) -> float:
        """Seconds that an iteration is expected to take over these requests' prompts, so many tokens of each,
        beside all decodes (or none). Where the class has `predicts = True` too."""
    @property
    def last(self) -> Past | None:
        """The last iteration that is over."""
    def median_answer(self, like: Request | None = None) -> int | None:
        """The median length of answers that have ended, in tokens; of the class of a request, where one is
        given."""
    def hold_request(self, request: Request, reason: str) -> None:
        """Says why this request, waiting or with an unfinished prompt, is left out of the batch; the reason
        stands until another is given or the request is scheduled. The reasons are those of `hold`."""

def ask(
    args: Sequence[str],
    scenarios: Sequence[tuple[str, Given]],
    keeps_runs: bool = False,
    keeps_page: bool = False,
    progress: Progress | None = None,
) -> Answer: ...
def check_scenario(scenario: Given) -> str: ...
def scenario_not_there(name: str) -> None: ...
def program(args: Sequence[str]) -> int: ...
def register_scheduler(
    name: str,
    kind: type[Any],
    defaults: str,
    budget: str | None,
    seats: str | None,
    traits: tuple[bool, bool, bool],
) -> None: ...
def python_schedulers() -> list[str]: ...
