// What came of it: verdict, timelines, tokens, stalls and their cures; figures.js has the table.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const by = (id) => document.getElementById(id);

	let timeline = null,
		previous = null,
		// A stretch that a link asks for.
		zoom = null,
		// Where the view is on its way to.
		aim = null;
	const drawTimeline = (answer, meaning, opened) => {
		const body = by("timeline-body");
		const old = timeline && { ...(aim || timeline.view), all: timeline.whole.to };
		aim = null;
		M.empty(body);
		const more = async (run, lane, from, to) => {
			const found = await P.ask({
				op: "columns",
				scenario: { text: answer.text, show: answer.shown },
				scheduler: answer.shown[answer.runs.indexOf(run)],
				replica: lane.replica,
				from_us: from,
				to_us: to,
			});
			return found.ok ? found.columns : null;
		};
		timeline = M.timeline(body, answer.runs, meaning, opened, more);
		P.timeline = timeline;
		if (timeline) timeline.watch(() => P.stands());
		// The same stretch of time as before, where someone had zoomed in and no link asks for another.
		if (timeline && zoom) {
			timeline.set(...zoom);
			zoom = null;
		} else if (
			timeline &&
			old &&
			previous === answer.title &&
			old.to - old.from < old.all * 0.98 &&
			old.to < timeline.whole.to
		)
			timeline.set(old.from, old.to);
		previous = answer.title;
	};

	const cured = (item, answer, run, stall) => {
		const holder = h("div", { class: "cures", "aria-live": "polite" });
		const button = h("button", { type: "button" }, "What would have helped?");
		button.addEventListener("click", async () => {
			button.disabled = true;
			holder.replaceChildren(h("p", { class: "hint" }, "Simulating changes on the same requests."));
			const found = await P.ask({
				op: "cures",
				scenario: { text: answer.text, show: answer.shown },
				scheduler: answer.shown[run],
				request: stall.request,
				token: stall.token,
			});
			button.disabled = false;
			if (!found.ok) {
				holder.replaceChildren(h("p", { class: "absent" }, found.problems.map((one) => one.message).join("; ")));
				return;
			}
			const head = ["Change", ...M.cureHead];
			const row = (tried) => {
				const act =
					tried.set.length > 0 &&
					h(
						"button",
						{
							type: "button",
							"aria-label": "Try it: " + tried.change,
							onclick: () => {
								P.change(tried.set);
								P.part("verdict");
							},
						},
						"Try it",
					);
				return h(
					"tr",
					{},
					h(
						"th",
						{ scope: "row" },
						M.unbroken(tried.change),
						" ",
						act,
						tried.set.length > 0 && h("span", { class: "meaning" }, M.cureEffect(tried)),
					),
					M.cureCells(tried.figures).map((cell) => h("td", {}, cell)),
				);
			};
			holder.replaceChildren(
				h(
					"div",
					{ class: "scroll", tabindex: 0, role: "region", "aria-label": "What would have helped" },
					h(
						"table",
						{},
						h(
							"caption",
							{},
							"The same requests, simulated again with one thing changed. " + M.unbroken(M.cureVerdict(found)),
						),
						h(
							"thead",
							{},
							h(
								"tr",
								{},
								head.map((text) => h("th", { scope: "col" }, text)),
							),
						),
						h("tbody", {}, found.tried.map(row)),
					),
				),
				h(
					"ul",
					{ class: "hint", hidden: found.notes.length === 0 },
					found.notes.map((note) => h("li", {}, note + ".")),
				),
			);
			if (item.classList.contains("chosen")) M.reveal(item);
		});
		item.append(button, holder);
		return button;
	};

	/* Parts far from what is looked at are drawn after the rest, when there is time. */
	const stale = new Map();
	const freshen = (id) => {
		const draw = stale.get(id);
		if (draw) {
			stale.delete(id);
			draw();
		}
	};
	const idle = window.requestIdleCallback
		? (act) => requestIdleCallback(act, { timeout: 400 })
		: (act) => setTimeout(act, 50);
	// The line at the top covers what is under it.
	const near = (id) => {
		const box = by(id).getBoundingClientRect();
		return box.bottom > by("status").offsetHeight && box.top < window.innerHeight;
	};
	P.near = near;
	// These ask for more, so they wait until someone comes to look, or nothing else happens.
	const ASKING = ["readers", "batch", "lives"];
	// This one plays the scenario many times over: only where someone looks.
	const LOOKED_AT = "load";
	let rest = 0;
	const later = () => {
		const own = ++rest;
		// What is in view is on screen first.
		const next = () => {
			if (own !== rest) return;
			const id = [...stale.keys()].find((one) => !ASKING.includes(one) && one !== LOOKED_AT);
			if (id) {
				freshen(id);
				idle(next);
				return;
			}
			document.documentElement.dataset.drawn = document.documentElement.dataset.answers;
			const one = () => {
				const id = ASKING.find((one) => stale.has(one));
				if (own !== rest || !id) return;
				freshen(id);
				setTimeout(one, 300);
			};
			setTimeout(one, 1000);
		};
		requestAnimationFrame(() => requestAnimationFrame(() => idle(next)));
	};
	// A part that comes into view is drawn at once.
	if (window.IntersectionObserver) {
		const seen = new IntersectionObserver(
			(entries) =>
				entries.forEach((entry) => {
					if (entry.isIntersecting) freshen(entry.target.id);
				}),
			{ rootMargin: "200px" },
		);
		document.querySelectorAll("#drawn > section").forEach((section) => seen.observe(section));
	}
	window.addEventListener("beforeprint", () => [...stale.keys()].forEach(freshen));
	// Draws a part again once it is looked at.
	P.later = (id) => {
		if (P.answer) stale.set(id, () => P.lives.draw(P.answer));
	};
	// What a link says: where the timeline stood, the playhead, whose text.
	// anew: its scenario is yet to be played, and its stretch may lie beyond the run that is drawn.
	P.opened = (state, anew) => {
		zoom = state.zoom || null;
		P.readers.begin(state.request, state.at);
		P.lives.begin(state.rows);
		if (anew) previous = null;
		if (!timeline || anew) return;
		if (zoom) timeline.set(...zoom);
		else timeline.set(timeline.whole.from, timeline.whole.to);
		zoom = null;
	};
	// Where the page stands, beside its scenario.
	P.stand = () => {
		const view = timeline?.view,
			whole = timeline?.whole;
		const all = !view || (view.from <= whole.from && view.to >= whole.to);
		return {
			zoom: zoom || (all ? null : [view.from, view.to]),
			at: M.cursor.at,
			request: P.readers.request(),
			rows: P.lives.rows(),
		};
	};
	// From one stretch of time to another, so that one sees where in the run it lies. Whoever zooms meanwhile has
	// their way.
	const glide = (from, to) => {
		const own = timeline,
			began = performance.now();
		let set = { ...own.view };
		aim = to;
		const frame = (now) => {
			const { view } = own;
			if (own !== timeline || aim !== to) return;
			if (view.from !== set.from || view.to !== set.to) {
				aim = null;
				return;
			}
			const share = Math.min(1, Math.max(0, (now - began) / 700)),
				part = share * share * (3 - 2 * share),
				[wide, narrow] = [from.to - from.from, to.to - to.from],
				// Equal factors in equal times: else all of it would happen in the last frame.
				span = wide * (narrow / wide) ** part,
				start = from.from + (to.from - from.from) * (wide === narrow ? part : (span - wide) / (narrow - wide));
			own.set(...(share < 1 ? [start, start + span] : [to.from, to.to]));
			set = { ...view };
			if (share < 1) requestAnimationFrame(frame);
			else aim = null;
		};
		requestAnimationFrame(frame);
	};
	// The part that shows what a lesson's step speaks of.
	P.partOf = (show) => ({ pause: "timeline", requests: "lives", sessions: "lives" })[show] || show;
	// Brings that part to what the step speaks of; without scrolling.
	P.look = ({ show, run, zoom_s }, answer) => {
		["timeline", P.partOf(show)].forEach(freshen);
		const rows = show === "sessions" ? show : null;
		if (P.partOf(show) === "lives" && P.lives.rows() !== rows) P.lives.begin(rows);
		// A pause within a text goes before a wait for its beginning.
		const worst = answer.runs
			.flatMap((one, place) => one.stalls.map((stall, at) => ({ place, at, stall })))
			.filter(({ place }) => run === undefined || place === run)
			.sort(
				(a, b) =>
					Number(b.stall.token > 0) - Number(a.stall.token > 0) ||
					b.stall.length_ns - a.stall.length_ns ||
					b.stall.beyond_ns - a.stall.beyond_ns,
			)[0];
		if (["pause", "batch", "readers"].includes(show) && worst) {
			const { place, stall } = worst,
				middle = (stall.from_us + stall.to_us) / 2;
			M.cursor.set(middle, "lesson");
			if (show === "batch") P.batches.to(middle, place, stall.replica);
			if (show === "readers") P.readers.pick(stall.request, true);
		}
		if (!timeline || !["pause", "timeline", "requests", "sessions"].includes(show)) return;
		const from = { ...timeline.view },
			{ whole } = timeline;
		if (show === "pause" && worst) timeline.focusStall(answer.runs[worst.place], worst.at, true);
		else if (zoom_s) timeline.set(zoom_s[0] * 1e6, zoom_s[1] * 1e6);
		else timeline.set(whole.from, whole.to);
		const to = { ...timeline.view };
		if (M.calm() || (from.from === to.from && from.to === to.to)) return;
		timeline.set(from.from, from.to);
		glide(from, to);
	};
	Object.entries({ curves: "cdfs", misses: "misses", lateness: "lateness" }).forEach(([id, reading]) => {
		by(id + "-reading").textContent = M.READING[reading];
	});

	// Before anything is changed: the page keeps its height, and with it its place, while parts are replaced.
	P.hold = () => {
		by("results").style.minHeight = by("results").offsetHeight + "px";
	};
	P.draw = (answer) => {
		const meaning = Object.fromEntries(answer.causes.map((cause) => [cause.name, cause.meaning]));
		by("verdict-body").replaceChildren(
			...(answer.verdict.length
				? answer.verdict
				: ["No verdict: what is known of this run is not enough to judge it by the promise."]
			).map((text) => h("p", {}, M.unbroken(text))),
			...(answer.warnings.length
				? [
						h(
							"details",
							{},
							h("summary", {}, answer.warnings.length === 1 ? "1 remark" : answer.warnings.length + " remarks"),
							h(
								"ul",
								{ class: "setup" },
								answer.warnings.map((text) => h("li", {}, M.unbroken(text))),
							),
						),
					]
				: []),
		);
		const setup = answer.header.map((line) => line.trim()).filter(Boolean),
			system = setup.findIndex((line) => line.startsWith("system: "));
		by("setup-line").textContent = M.unbroken((setup[system] || setup[0] || "").replace(/^system: /, ""));
		by("setup-more").replaceChildren(
			...setup.filter((_, at) => at !== Math.max(0, system)).map((line) => h("li", {}, M.unbroken(line))),
		);
		P.figures(answer);
		const lists = [];
		const fresh = (id, draw) =>
			stale.set(id, () => {
				const body = by(id + "-body");
				M.empty(body);
				draw(body);
			});
		const opened = (run, at) => {
			freshen("stalls");
			if (P.course.step() !== null) P.part("stalls");
			const item = (lists[answer.runs.indexOf(run)] || [])[at];
			document.querySelectorAll(".stall.chosen").forEach((one) => one.classList.remove("chosen"));
			if (!item) return;
			item.classList.add("chosen");
			const folded = item.closest("details");
			if (folded) folded.open = true;
			const stall = run.stalls[at];
			freshen("batch");
			P.batches.to((stall.from_us + stall.to_us) / 2, answer.runs.indexOf(run), stall.replica);
			M.reveal(item);
			item.focus({ preventScroll: true });
			const button = item.querySelector("button.cure");
			if (button && !button.disabled && !item.querySelector(".cures table")) button.click();
		};
		P.story = opened;
		M.figureOf = () => M.caption(answer.title, answer.header, answer.tool);
		M.runsKey = () => answer.runs.map((run, place) => ({ name: run.label, color: () => M.runColor(place) }));
		stale.set("timeline", () => drawTimeline(answer, meaning, opened));
		stale.set("readers", () => P.readers.draw(answer));
		stale.set("batch", () => P.batches.draw(answer));
		stale.set("load", () => P.sweep.draw(answer));
		stale.set("lives", () => {
			freshen("timeline");
			P.lives.draw(answer);
		});
		if (P.measured) stale.set("measured", () => P.measured.draw(answer));
		const head = (run, place) =>
			h(
				"h3",
				{},
				M.swatch(() => M.runColor(place)),
				run.label,
			);
		fresh("tokens", (body) => {
			const scale = M.tokenScale(answer.runs);
			answer.runs.forEach((run, place) => {
				const cell = h("div", { class: "cell" }, head(run, place));
				body.append(cell);
				M.tokens(cell, run, place, meaning, scale);
			});
		});
		fresh("curves", (body) => M.distributions(body, answer.runs));
		fresh("misses", (body) => {
			if (answer.runs.some((run) => run.miss_rate)) M.misses(body, answer.runs);
			answer.runs.forEach((run) => {
				const why = M.absent(run, "miss_rate");
				if (why) body.append(h("p", { class: "absent" }, run.label + ": " + why.why + "."));
			});
		});
		fresh("lateness", (body) => M.latenesses(body, answer.runs, meaning));
		fresh("stalls", (body) =>
			answer.runs.forEach((run, place) => {
				body.append(head(run, place));
				lists[place] = M.stallList(
					body,
					run,
					meaning,
					run.lanes.length &&
						((at) => {
							freshen("timeline");
							freshen("batch");
							timeline.focusStall(run, at);
							const stall = run.stalls[at];
							P.batches.to((stall.from_us + stall.to_us) / 2, place, stall.replica);
							P.part("timeline");
						}),
				);
				lists[place].forEach((item, at) => cured(item, answer, place, run.stalls[at]).classList.add("cure"));
			}),
		);
		if (!by("words-body").children.length) by("words-body").append(...M.words(answer.causes));
		[...stale.keys()].filter(near).forEach(freshen);
		later();
		by("made-by").textContent = "Made by " + answer.tool.name + " " + answer.tool.version;
		by("results").style.minHeight = "";
	};
})();
