// What the words of a page mean, for those who meet them for the first time.
(() => {
	const M = Metron,
		h = M.h;
	const WORDS = [
		["token", "a word or a piece of one; what a model reads and writes"],
		["prompt", "what the user sent; the request's input"],
		["prefill", "computing the prompt; at its end comes the first token"],
		["decode", "writing the answer, one token an iteration"],
		[
			"iteration",
			"one pass of the GPU over the model: every request in the batch gets a token, or a piece of its prompt done",
		],
		["batch", "the requests that one iteration works on; a place in it is a seat"],
		["chunk", "a piece of a prompt that one iteration prefills, so that decodes go on beside it"],
		["token budget", "the most tokens, prefill and decode together, that one iteration may compute"],
		["KV blocks", "the GPU memory that holds what was computed of each token, handed out in blocks of some tokens"],
		["preemption", "a request loses its KV blocks to others and has to be computed again later"],
		["queue", "requests that arrived and have no seat, no memory or no budget yet"],
		["TTFT", "time to first token, from sending the request"],
		["TBT", "time between tokens: from one token to the next; 0 between tokens that one step brings together"],
		["TPOT", "time per output token: an answer's time after its first token, divided by its further tokens"],
		["P50, P99", "half of all, or 99 of 100, are at most this much"],
		[
			"deadline",
			"when a token is due: the first one some time after the request, each further one a step after the one before; time that came early is saved up",
		],
		["miss rate", "the share of its deadlines that a request missed"],
		["fluidity-index", "the share of its deadlines that a request met: 1 is text without a pause"],
		["fluid", "a request whose fluidity-index is as high as promised"],
		["SLO", "service level objective: what users are promised"],
		["stall", "a text that stood still beyond its deadline"],
		["scheduling delay", "from sending a request to its first iteration"],
		["goodput", "requests a second that kept the promise"],
		["makespan", "from the first request to the last token"],
		["replica", "one copy of the model with its GPUs, batch and memory"],
	];
	const list = (rows) =>
		h(
			"dl",
			{ class: "words" },
			rows.flatMap(([name, text, swatch]) => [h("dt", {}, swatch, name), h("dd", {}, text)]),
		);

	// causes: [{name, meaning}]
	M.words = (causes) =>
		[
			h("details", { class: "numbers" }, h("summary", {}, "What the words mean"), list(WORDS)),
			causes.length > 0 &&
				h(
					"details",
					{ class: "numbers" },
					h("summary", {}, "What the causes mean"),
					list(
						causes.map((cause) => [
							M.causeWords(cause.name),
							cause.meaning,
							M.swatch(() => M.causeColor(cause.name), M.causePattern(cause.name)),
						]),
					),
				),
		].filter(Boolean);
})();
