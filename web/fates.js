// How requests fared: distributions against the promise, misses by pace, lateness by cause.
(() => {
	const M = Metron,
		h = M.h;
	const OF = [
		["ttft", "Time to first token (TTFT)", "s", "requests"],
		["tbt", "Time between tokens (TBT)", "s", "gaps between tokens"],
		["tpot", "Time per output token (TPOT)", "s", "requests"],
		["fluidity", "Fluidity-index", "index", "requests"],
		["e2e", "Whole answer (end to end)", "s", "requests"],
		["queueing", "Wait for the first iteration", "s", "requests"],
	];
	// What simulations alone tell is left out where there is none.
	const ALWAYS = 4;

	// Which colour and dash is which run.
	M.runKey = (runs) =>
		h(
			"ul",
			{ class: "legend" },
			runs.map((run, place) =>
				h(
					"li",
					{},
					M.stroke(() => M.runColor(place), M.runDash(place), 2),
					run.label,
				),
			),
		);

	let tail = false;
	M.distributions = (parent, runs) => {
		const grid = h("div", { class: "grid" });
		const shown = OF.filter(([name], k) => k < ALWAYS || runs.some((run) => run[name]));
		const linesOf = (name) => {
			const lines = [];
			runs.forEach((run) =>
				run.lines.forEach((line) => {
					if (line.of === name && !lines.some((other) => other.label === line.label)) lines.push(line);
				}),
			);
			return lines.slice(0, 4);
		};
		const rows = Math.max(...shown.map(([name]) => linesOf(name).length));
		parent.append(M.runKey(runs));
		const cut = runs.filter((run) => run.unfinished);
		if (cut.length)
			parent.append(
				h(
					"p",
					{ class: "hint" },
					"Observation ended before some requests did (" +
						cut.map((run) => run.label + ": " + M.count(run.unfinished)).join(", ") +
						"). The curves hold what was seen until then, so the slowest may be missing; the figures are bounds where that matters.",
				),
			);
		const toggle = h(
			"button",
			{
				type: "button",
				"aria-pressed": String(tail),
				onclick: () => {
					tail = !tail;
					toggle.setAttribute("aria-pressed", String(tail));
					M.empty(grid);
					fill();
				},
			},
			"Stretch the slowest few",
		);
		parent.append(h("div", { class: "controls" }, toggle), grid);
		const fill = () => drawAll(grid, shown, runs, linesOf, rows);
		fill();
	};
	const drawAll = (grid, shown, runs, linesOf, rows) => {
		const cells = shown.map(([, title, , what]) =>
			h("div", { class: "cell" }, h("h3", {}, title), h("p", { class: "axis" }, "share of " + what)),
		);
		grid.append(...cells);
		// All are measured before any is filled: then the page is laid out once.
		const widths = cells.map((cell) => cell.clientWidth);
		shown.forEach(([name, title, unit, what], k) => {
			const curves = runs.map((run, place) => ({ label: run.label, place, ...(run[name] || {}) }));
			if (!curves.some((curve) => curve.value)) {
				cells[k].append(h("p", { class: "absent" }, "No samples."));
				return;
			}
			M.cdf(cells[k], {
				title: title + ", share of " + what + " up to a value",
				unit,
				curves,
				lines: linesOf(name),
				rows,
				tail: tail && unit === "s",
				log: unit === "s",
				width: widths[k],
			});
		});
	};

	M.misses = (parent, runs) => {
		parent.append(
			M.runKey(runs),
			h("p", { class: "axis" }, "share of deadlines missed, by the time promised between tokens"),
		);
		const promise = runs[0].lines.find((line) => line.of === "tbt")?.value;
		M.missRate(parent, runs, promise ? [{ value: promise * 1e3, label: "promised: " + M.seconds(promise) }] : []);
	};

	M.latenesses = (parent, runs, meaning) => {
		const sum = (run) =>
			Math.max(...run.lateness.seconds[0].map((_, k) => run.lateness.seconds.reduce((all, of) => all + of[k], 0)));
		const most = Math.max(0, ...runs.filter((run) => run.lateness).map(sum));
		runs.forEach((run, place) => {
			parent.append(
				h(
					"h3",
					{},
					M.swatch(() => M.runColor(place)),
					run.label,
				),
			);
			if (run.lateness) M.lateness(parent, run, most, meaning);
			else parent.append(M.noneLate(run));
		});
	};

	M.READING = {
		cdfs: "Each curve says what share of requests (or of gaps between tokens) got at most the value below it: further left is faster, and the top end is the slowest few. Dashed lines down from words are the promise. For fluidity further right is smoother. \u201cStretch the slowest few\u201d gives each further nine of 90\u00a0%, 99\u00a0%, 99.9\u00a0% the same room.",
		misses:
			"What would be missed if tokens were promised at another pace: the share of deadlines that the worst hundredth of requests miss, by the pace. Lower is better; where a curve reaches the floor, that pace could be promised.",
		lateness:
			"Each column adds up how far tokens came beyond their deadline's pace, over all requests, in that part of the run, by cause.",
	};
})();
