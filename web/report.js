// The report: finds its data in the page and draws all of it.
(() => {
	const M = Metron,
		h = M.h;
	const page = JSON.parse(document.getElementById("data").textContent);
	const meaning = Object.fromEntries(page.causes.map((cause) => [cause.name, cause.meaning]));
	const plots = document.getElementById("plots");
	M.redrawAll();
	document.getElementById("tools").append(
		h(
			"button",
			{
				type: "button",
				onclick: () => {
					/** @type {HTMLDetailsElement} */
					const words = document.querySelector("#scenario details.numbers");
					words.open = true;
					words.scrollIntoView({ block: "start" });
					words.querySelector("summary").focus({ preventScroll: true });
				},
			},
			"What the words mean",
		),
		M.themeToggle(),
	);
	document.querySelectorAll("#figures").forEach(M.figuresTable);
	const runs = page.runs;
	const setup = [...document.querySelectorAll("#setup li")].map((line) => line.textContent);
	M.figureOf = () => M.caption(page.title, setup, page.tool);
	M.runsKey = () => runs.map((run, place) => ({ name: run.label, color: () => M.runColor(place) }));
	const head = (run, place) =>
		h(
			"h3",
			{},
			M.swatch(() => M.runColor(place)),
			run.label,
		);
	// What the data cannot show is said once, at the end.
	const missing = [];
	const whyNot = (title, part) => {
		const told = [
			...new Set(
				runs
					.map((run) => M.absent(run, part))
					.filter(Boolean)
					.map((one) => one.why),
			),
		];
		told.forEach((why) => missing.push([title, why]));
	};
	const partly = (parent, part) => {
		const told = [
			...new Set(
				runs
					.map((run) => M.absent(run, part))
					.filter(Boolean)
					.map((one) => one.why),
			),
		];
		told.forEach((why) => parent.append(h("p", { class: "absent" }, "Not of every run: " + why + ".")));
	};

	if (runs.length) {
		if (runs.some((run) => run.ttft || run.tbt || run.fluidity))
			M.distributions(M.section(plots, "How requests fared", M.READING.cdfs, "cdfs"), runs);
		else whyNot("How requests fared", "distributions");

		if (runs.some((run) => run.miss_rate)) {
			const miss = M.section(plots, "Misses against the promise", M.READING.misses, "miss-rate");
			M.misses(miss, runs);
			partly(miss, "miss_rate");
		} else whyNot("Misses against the promise", "miss_rate");

		/* tokens */
		if (runs.some((run) => run.curves.length)) {
			const tokens = M.section(
				plots,
				"Tokens as a reader saw them",
				"A line climbs by one with each token. Where it is flat the text stood still; bars on flat parts mark late tokens, coloured by cause. The dotted line is when the tokens of the least fluid request were due. Answers of fewer than 16 tokens are drawn only where there are no longer ones.",
				"tokens",
			);
			const grid = h("div", { class: "grid" });
			tokens.append(grid);
			const scale = M.tokenScale(runs);
			runs.forEach((run, place) => {
				const cell = h("div", { class: "cell" }, head(run, place));
				grid.append(cell);
				M.tokens(cell, run, place, meaning, scale);
			});
		} else whyNot("Tokens as a reader saw them", "curves");

		/* timeline */
		const stallLists = new Map();
		let timeline = null;
		if (runs.some((run) => run.lanes.length)) {
			const timelineBody = M.section(
				plots,
				"What the GPU ran",
				"Time goes right; all lanes are aligned. Zoom with the wheel, two fingers or + and −, move by dragging or with the arrow keys. Bars in the top row are the worst stalls: point at one to see whose prefill caused it, click for its story (or N and Enter on the keyboard).",
				"timeline",
			);
			page.thinned.forEach((text) => timelineBody.append(h("p", { class: "hint" }, text)));
			const packed = runs.some((run) => run.lanes.some((lane) => lane.packed));
			if (packed && !M.canUnpack)
				timelineBody.append(
					h(
						"p",
						{ class: "hint" },
						"This browser cannot unpack the single iterations; those around the worst stalls are there.",
					),
				);
			const more =
				packed &&
				M.canUnpack &&
				Object.assign((_run, lane, from, to, places) => M.unpacked(lane, from, to, places), {
					here: true,
					most: 250000,
				});
			timeline = M.timeline(
				timelineBody,
				runs,
				meaning,
				(run, at) => {
					const item = (stallLists.get(run) || [])[at];
					document.querySelectorAll(".stall.chosen").forEach((one) => one.classList.remove("chosen"));
					if (item) {
						item.classList.add("chosen");
						const folded = item.closest("details");
						if (folded) folded.open = true;
						M.reveal(item);
						item.focus({ preventScroll: true });
					}
				},
				more,
			);
		} else whyNot("What the GPU ran", "timeline");
		M.reportTimeline = timeline;

		if (runs.some((run) => M.absent(run, "causes"))) whyNot("Why tokens were late", "causes");
		else
			M.latenesses(M.section(plots, "Why tokens were late, over time", M.READING.lateness, "lateness"), runs, meaning);

		/* stalls */
		if (runs.some((run) => run.misses)) {
			const stalls = M.section(
				plots,
				"The worst stalls, and who caused them",
				"One story for each stall, however many requests it hit; the bar splits its time by cause.",
				"stalls",
			);
			runs.forEach((run, place) => {
				stalls.append(head(run, place));
				if (run.misses?.missed)
					stalls.append(
						h(
							"p",
							{},
							M.count(run.misses.missed) +
								" deadlines missed: " +
								Object.entries(run.misses.by_cause)
									.sort((a, b) => b[1] - a[1])
									.map(([cause, n]) => M.count(n) + " " + M.causeWords(cause))
									.join(", ") +
								".",
						),
					);
				const shown = { ...run, stalls: run.stalls };
				stallLists.set(run, M.stallList(stalls, shown, meaning, timeline && ((at) => timeline.focusStall(run, at))));
			});
		}
		if (page.cures.length) {
			const body = M.section(
				plots,
				"What would have helped",
				"The same requests, simulated again with one thing changed, against each scheduler's worst stall.",
				"cures",
			);
			page.cures.forEach((cures) => {
				body.append(
					h(
						"h3",
						{},
						cures.label +
							(cures.main_cause
								? ": request " +
									cures.request +
									" waited for token " +
									(cures.token + 1) +
									" (" +
									M.causeWords(cures.main_cause) +
									")"
								: ": requests that were turned away"),
					),
				);
				M.cures(body, cures);
			});
		}
	}

	/* capacity */
	if (page.capacity) {
		const capacity = page.capacity;
		const HELD = new Map([
			[true, "held"],
			[false, "not held"],
			[null, "not known"],
		]);
		const body = M.section(
			plots,
			"Load against the promise",
			"Each mark is one simulation: how many requests were fluid at that load. Filled marks kept the whole promise (" +
				capacity.promise +
				"), crosses were not shown to. Of marks at one place the lower ones are drawn larger. Vertical lines are " +
				(capacity.schedulers.some((one) => one.is?.includes("mean"))
					? "the mean, over the seeds, of the highest load that held with each."
					: "the highest load that held."),
			"capacity",
		);
		body.append(
			h(
				"ul",
				{ class: "legend" },
				capacity.schedulers.map((one, place) =>
					h(
						"li",
						{},
						M.swatch(() => M.runColor(place)),
						one.label,
					),
				),
			),
		);
		const points = capacity.schedulers.flatMap((one, place) =>
			one.probed
				.filter((p) => p.fluid != null)
				.map((p) => ({
					x: p.rate,
					y: p.fluid,
					color: () => M.runColor(place),
					shape: p.held ? place % 4 : "cross",
					label:
						one.label +
						", " +
						M.digits(p.rate) +
						" " +
						capacity.unit +
						", seed " +
						p.seed +
						": " +
						M.percent(p.fluid) +
						" fluid, " +
						HELD.get(p.held),
				})),
		);
		// Rates far above the border say nothing more, and would squeeze the rest.
		const border = Math.max(0, ...capacity.schedulers.map((one) => one.load || 0));
		const near = border ? points.filter((p) => p.x <= border * 2.5) : points;
		if (near.length) {
			const lines = capacity.schedulers
				.map((one, place) => ({
					x: one.load,
					color: () => M.runColor(place),
					label: one.load == null ? "" : one.label + ": " + M.digits(one.load) + ", " + one.is,
				}))
				.filter((line) => line.x != null);
			if (capacity.fluid_share)
				lines.push({ y: capacity.fluid_share, label: M.percent(capacity.fluid_share) + " asked" });
			const least = Math.min(capacity.fluid_share || 1, ...near.map((p) => p.y)),
				room = Math.max(0.002, (1 - least) * 0.08);
			M.scatter(body, {
				title: "Share of fluid requests by load",
				key: () => capacity.schedulers.map((one, place) => ({ name: one.label, color: () => M.runColor(place) })),
				points: near,
				lines,
				x: { name: capacity.unit },
				y: {
					low: Math.max(0, least - room),
					high: 1 + room,
					name: "fluid requests",
					show: (v, step) => (v > 1 + 1e-9 ? "" : M.tick(v * 100, step * 100) + " %"),
				},
			});
			if (near.length < points.length)
				body.append(
					h(
						"p",
						{ class: "hint" },
						points.length - near.length + " loads above 2.5 times the highest capacity are in the table only.",
					),
				);
		} else body.append(h("p", { class: "absent" }, "No load has a share of fluid requests."));
		body.append(
			M.details("Numbers", "Every load that was tried", ["scheduler", "seed", capacity.unit, "fluid", "held"], () =>
				capacity.schedulers.flatMap((one) =>
					one.probed.map((p) => [one.label, p.seed, M.digits(p.rate), M.percent(p.fluid), HELD.get(p.held)]),
				),
			),
		);
	}

	/* sweep */
	if (page.sweep) {
		const sweep = page.sweep;
		const body = M.section(
			plots,
			"The combinations, and which are worth having",
			"Each mark is one combination. Filled ones are the Pareto front: no other is better in both figures. Choose the figures below; arrow keys walk along the marks.",
			"sweep",
		);
		page.thinned.forEach((text) => body.append(h("p", { class: "hint" }, text)));
		if (!sweep.figures.length) body.append(h("p", { class: "absent" }, "No combination has a figure to draw."));
		else {
			body.append(
				h(
					"ul",
					{ class: "legend" },
					sweep.schedulers.map((name, place) =>
						h(
							"li",
							{},
							M.swatch(() => M.runColor(place)),
							name,
						),
					),
				),
			);
			const holder = h("div", {});
			const short = sweep.paths.map((path) => path.split(".").slice(-2).join("."));
			const axes = sweep.axes.slice();
			const select = (which, text) => {
				const menu = h(
					"select",
					{
						onchange: () => {
							axes[which] = Number(menu.value);
							plot();
						},
					},
					sweep.figures.map((figure, place) =>
						h(
							"option",
							{ value: place, selected: place === axes[which] },
							figure.name + (figure.maximise ? " (more is better)" : " (less is better)"),
						),
					),
				);
				return h("label", {}, text + " ", menu);
			};
			const plot = () => {
				holder.replaceChildren();
				const [a, b] = axes.map((place) => sweep.figures[place]);
				const known = sweep.points
					.filter((p) => p.figures[axes[0]] != null && p.figures[axes[1]] != null)
					.map((p) => ({ p, x: p.figures[axes[0]], y: p.figures[axes[1]] }));
				const better = (v, w, most) => (most ? v - w : w - v);
				const sorted = known.slice().sort((m, n) => better(n.x, m.x, a.maximise) || better(n.y, m.y, b.maximise));
				let best = null;
				const front = new Set();
				sorted.forEach((one) => {
					if (best == null || better(one.y, best.y, b.maximise) > 0) {
						best = one;
						front.add(one);
					} else if (one.x === best.x && one.y === best.y) front.add(one);
				});
				// Where intervals overlap, none is shown to be better: those are ties.
				const level = (m, n, place) => {
					const [u, v] = [m.p, n.p].map((p) => (p.ranges || [])[place]);
					if (m.p.figures[place] === n.p.figures[place]) return "same";
					return u && v && u[0] <= v[1] && v[0] <= u[1] ? "tied" : "apart";
				};
				const tied = new Set();
				front.forEach((m) =>
					known.forEach((n) => {
						const levels = axes.map((place) => level(m, n, place));
						if (m !== n && levels.includes("tied") && !levels.includes("apart")) tied.add(m).add(n);
					}),
				);
				const place = (one) => (tied.has(one) ? "a tie" : front.has(one) ? "on the front" : "");
				const words = ({ p, x, y }) =>
					p.label +
					" with " +
					sweep.paths.map((path, k) => path + "=" + p.values[k]).join(", ") +
					": " +
					a.name +
					" " +
					M.digits(x) +
					", " +
					b.name +
					" " +
					M.digits(y);
				const points = known.map((one) => ({
					x: one.x,
					y: one.y,
					color: () => M.runColor(one.p.scheduler),
					shape: one.p.scheduler % 4,
					faint: !place(one),
					label: words(one) + (place(one) ? "; " + place(one) : ""),
				}));
				if (!points.length) {
					holder.append(h("p", { class: "absent" }, "No combination has both figures."));
					return;
				}
				const path = [...front].sort((m, n) => m.x - n.x);
				const shown = [...new Set([...front, ...tied])].sort((m, n) => m.x - n.x);
				M.scatter(holder, {
					title: b.name + " against " + a.name,
					key: () => sweep.schedulers.map((name, place) => ({ name, color: () => M.runColor(place) })),
					points,
					path,
					x: { name: a.name },
					y: { name: b.name },
				});
				holder.append(
					M.table(
						"The front",
						["scheduler", ...short, a.name, b.name, ...(tied.size ? ["ties"] : [])],
						shown
							.slice(0, 60)
							.map((one) => [
								one.p.label,
								...one.p.values,
								M.digits(one.x),
								M.digits(one.y),
								...(tied.size ? [tied.has(one) ? "a tie" : ""] : []),
							]),
					),
				);
				if (tied.size)
					holder.append(
						h("p", { class: "hint" }, "A tie: the intervals of these overlap, so none of them is shown to be better."),
					);
			};
			body.append(h("div", { class: "controls" }, select(0, "Across:"), select(1, "Up:")), holder);
			plot();
			body.append(
				M.details(
					"All combinations",
					"All combinations",
					["scheduler", ...short, ...sweep.figures.map((figure) => figure.name)],
					() =>
						sweep.points
							.slice(0, 1000)
							.map((p) => [p.label, ...p.values, ...p.figures.map((v) => (v == null ? "-" : M.digits(v)))]),
				),
			);
		}
	}

	if (missing.length) {
		const body = M.section(plots, "What cannot be shown here", null, "missing");
		body.append(
			h(
				"ul",
				{ class: "setup" },
				missing.map(([title, why]) => h("li", {}, h("strong", {}, title), ": " + why + ".")),
			),
		);
	}

	const scenario = document.getElementById("scenario");
	M.words(runs.some((run) => run.stalls?.length) ? page.causes : []).forEach((part) => scenario.append(part));
	const details = h(
		"details",
		{},
		h("summary", {}, "The scenario with every default filled in"),
		h("pre", { tabindex: 0 }, JSON.stringify(page.scenario, null, 2)),
	);
	// What is measured has no scenario that could be run.
	if (page.scenario?.schedulers)
		scenario.append(
			h(
				"p",
				{ class: "controls" },
				h(
					"button",
					{
						type: "button",
						onclick: () =>
							M.save(
								"scenario.json",
								new Blob([JSON.stringify(page.scenario, null, 2) + "\n"], { type: "application/json" }),
							),
					},
					"Download the scenario",
				),
				h("span", { class: "hint" }, "Run it again with: metron-sim run scenario.json"),
			),
		);
	scenario.append(details);
	document.documentElement.dataset.ready = "yes";
})();
