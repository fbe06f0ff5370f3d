// The same request under both schedulers, its text appearing as its tokens came: where a reader would see it
// stand still, it stands still, and says who was in the way.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const SPEEDS = [
		[0.1, "10 times slower"],
		[0.25, "4 times slower"],
		[1, "as fast as it was"],
		[4, "4 times faster"],
	];
	// Phases of a request: one colour and one pattern each, here and in the rows of requests.
	/** @type {Record<string, [string, () => string, string]>} */
	const PHASES = {
		queued: ["waits in the queue", () => M.css("--area-faint"), "level"],
		prefill: ["its prompt is prefilled", () => M.kindColor("prefill"), "slash"],
		decode: ["its tokens come", () => M.kindColor("decode"), "plain"],
		stalled: ["has a seat, gets nothing", () => M.css("--bad"), "cross"],
		sending: ["its KV is on the way", () => M.causeColor("kv_transfer"), "dots"],
		preempted: ["lost its KV blocks", () => M.causeColor("preempted_waiting"), "back"],
	};
	P.phases = PHASES;

	// Said until another text is asked for.
	let refused = "";
	const refuse = (words) => {
		refused = words;
		trouble.textContent = words;
		trouble.hidden = !words;
	};
	const body = document.getElementById("readers-body");
	let answer = null,
		told = null,
		// The request that someone chose; null for the unluckiest.
		chosen = null,
		t = 0,
		playing = false,
		asking = false,
		placed = false,
		panes = [];

	const play = h("button", { type: "button", class: "primary", "aria-pressed": "false" }, "Play the text");
	const again = h("button", { type: "button" }, "From the beginning");
	const speed = h(
		"select",
		{ "aria-label": "Speed of the text" },
		SPEEDS.map(([factor, name]) => h("option", { value: factor, selected: factor === 1 }, name)),
	);
	const range = h("input", {
		type: "range",
		min: 0,
		max: 1000,
		value: 0,
		"aria-label": "Time since the request was sent",
	});
	const menu = h("select", { "aria-label": "Whose text" });
	const number = h("input", { type: "number", min: 0, step: 1, "aria-label": "Request, by number" });
	const clock = h("output", { class: "readout", "aria-live": "off" });
	const trouble = h("p", { class: "absent", hidden: true });
	const grid = h("div", { class: "panes" });
	body.append(
		h(
			"div",
			{ class: "controls", role: "group", "aria-label": "Whose text" },
			h("label", {}, "Text of ", menu),
			h("label", {}, "or request ", number),
		),
		h("div", { class: "player", role: "group", "aria-label": "The text" }, play, again, range, speed),
		clock,
		trouble,
		grid,
		M.legend(Object.values(PHASES).map(([name, color, pattern]) => ({ name, color, pattern }))),
	);

	const most = () => Math.max(1, ...panes.map((pane) => pane.end));
	const arrival = () => panes[0]?.reader.arrival_us ?? 0;

	const by = (culprit, stall) => "request " + culprit.request + " (" + M.byWhom(culprit, stall) + ")";
	// Who was in the way of a token, in a few words.
	const who = (stall) => {
		if (!stall) return "";
		const two = stall.culprits.slice(0, 2).map((one) => by(one, stall)),
			more = stall.culprits.length - two.length + stall.culprits_more;
		if (!two.length) return M.causeWords(stall.main_cause);
		return (
			M.causeWords(stall.main_cause) + ": " + two.join(", ") + (more > 0 ? ", and " + M.count(more) + " more" : "")
		);
	};
	// How a pane stands at a time since its request was sent.
	const stands = (pane, now) => {
		const { reader, times } = pane;
		let shown = 0;
		for (let low = 0, high = times.length; low < high; ) {
			const mid = (low + high) >> 1;
			if (times[mid] <= now) low = shown = mid + 1;
			else high = mid;
		}
		if (reader.lost && shown === times.length)
			return { shown, state: "done", text: "Turned away: no more of it came." };
		if (shown === times.length && reader.end_us != null && !reader.cut)
			return { shown, state: "done", text: "Done after " + M.us(pane.end) + "." };
		const since = now - (shown ? times[shown - 1] : 0),
			due = shown ? reader.pace_us : reader.first_due_us,
			late = due != null && since > due;
		const freeze = reader.freezes.find((one) => one.token === shown);
		const what = shown ? (late ? "Frozen" : "Writing") : "Waiting for the first token";
		return {
			shown,
			state: late ? "frozen" : shown ? "writing" : "waiting",
			text: what + (shown && !late ? "." : ", for " + M.us(since) + (late && freeze ? ". " + who(freeze) : "") + "."),
		};
	};

	const mark = (freeze) =>
		h(
			"span",
			{ class: "pause", title: who(freeze) },
			"\u2016\u00a0" + M.ns(freeze.length_ns),
			h("span", { class: "sr" }, " pause: " + who(freeze)),
		);
	// Pauses shorter than this nobody sees in a text; the line below it has all of them.
	const SEEN_NS = 50e6;
	const write = (pane, shown) => {
		if (shown < pane.shown) {
			pane.text.replaceChildren();
			pane.shown = 0;
		}
		let from = pane.shown;
		pane.reader.freezes.forEach((freeze) => {
			if (freeze.token < from || freeze.token >= shown || freeze.token === 0 || freeze.length_ns < SEEN_NS) return;
			pane.text.append(P.words(from, freeze.token), mark(freeze));
			from = freeze.token;
		});
		if (shown > from) pane.text.append(P.words(from, shown));
		pane.shown = shown;
		pane.text.scrollTop = pane.text.scrollHeight;
	};
	const set = (element, text) => {
		if (element.textContent !== text) element.textContent = text;
	};
	const draw = () => {
		if (!told) return;
		set(clock, M.us(t) + " since request " + told.request + " was sent, of " + M.us(most()));
		if (document.activeElement !== range || playing) range.value = Math.round((1000 * t) / most());
		range.setAttribute("aria-valuetext", M.us(t));
		panes.forEach((pane) => {
			const now = stands(pane, t);
			write(pane, now.shown);
			set(pane.status, now.text);
			pane.cell.dataset.state = now.state;
			set(pane.count, M.count(now.shown) + " of " + M.count(pane.reader.tokens) + " tokens");
			pane.strip.draw();
		});
	};
	const go = (to, follows) => {
		t = Math.max(0, Math.min(most(), to));
		draw();
		if (!follows) M.cursor.set(arrival() + t, "readers");
	};
	const stop = () => {
		if (!playing) return;
		playing = false;
		set(play, "Play the text");
		play.setAttribute("aria-pressed", "false");
	};
	const start = () => {
		if (!told || playing) return;
		if (t >= most()) t = 0;
		playing = true;
		set(play, "Pause");
		play.setAttribute("aria-pressed", "true");
		let before = performance.now();
		const frame = (now) => {
			if (!playing) return;
			const passed = Math.min(100, now - before);
			before = now;
			const to = t + passed * 1000 * Number(speed.value);
			go(to);
			if (to >= most()) stop();
			else requestAnimationFrame(frame);
		};
		requestAnimationFrame(frame);
	};
	play.addEventListener("click", () => (playing ? stop() : start()));
	again.addEventListener("click", () => {
		stop();
		go(0);
		start();
	});
	range.addEventListener("input", () => {
		stop();
		go((Number(range.value) * most()) / 1000);
	});
	M.cursor.follow((cursor, by) => {
		if (by === "readers" || !told || cursor.at == null) return;
		stop();
		go(cursor.at - arrival(), true);
	});

	// The request's whole life on one line, both runs on one scale.
	const LEFT = 4,
		TALL = 34;
	const strip = (c, width, pane) => {
		const scale = (width - 2 * LEFT) / most(),
			x = (us) => LEFT + us * scale,
			origin = pane.reader.arrival_us;
		c.fillStyle = M.css("--track");
		c.fillRect(LEFT, 2, width - 2 * LEFT, 18);
		pane.reader.parts.forEach(([phase, from, to]) => {
			const [, color, pattern] = PHASES[phase],
				a = x(from - origin),
				wide = Math.max(0.6, x(to - origin) - a);
			c.fillStyle = M.fill(c, color(), wide > 3 ? pattern : "plain");
			c.fillRect(a, 2, wide, 18);
		});
		pane.reader.freezes.forEach((freeze) => {
			c.fillStyle = M.fill(c, M.causeColor(freeze.main_cause), M.causePattern(freeze.main_cause));
			const a = x(freeze.from_us - origin);
			c.fillRect(a, 23, Math.max(2, x(freeze.to_us - origin) - a), 8);
		});
		c.fillStyle = M.css("--accent");
		c.fillRect(x(t) - 1, 0, 2, TALL);
	};
	const make = (run, place) => {
		const status = h("p", { class: "reader-state" }),
			text = h("div", { class: "reader-text", tabindex: 0, role: "region", "aria-label": "Text under " + run.label }),
			count = h("span", { class: "hint" }),
			title = h(
				"h3",
				{},
				M.swatch(() => M.runColor(place)),
				run.label,
				" ",
				count,
			),
			cell = h("div", { class: "pane" }, title, status, text);
		const pane = { status, text, count, cell, shown: 0, place };
		grid.append(cell);
		pane.strip = M.surface(cell, TALL, "Where its time went", (c, width) => pane.reader && strip(c, width, pane));
		pane.strip.canvas.classList.add("strip");
		pane.strip.on("pointerdown", (event) => {
			stop();
			go(((event.offsetX - LEFT) / (pane.strip.width - 2 * LEFT)) * most());
		});
		M.saver(
			cell,
			"When the tokens of a request came, " + run.label,
			pane.strip,
			() => [["request", "token", "came s after arrival"], pane.times.map((us, k) => [told.request, k + 1, us / 1e6])],
			() => Object.values(PHASES).map(([name, color]) => ({ name, color })),
		);
		return pane;
	};
	const fill = (found) => {
		told = found;
		refuse(refused);
		const known = answer.runs.map((run, place) => ({ run, place })).filter(({ place }) => found.readers[place]);
		M.empty(grid);
		panes = known.map(({ run, place }) => {
			const pane = make(run, place),
				reader = found.readers[place];
			pane.reader = reader;
			pane.times = M.running(reader.at_us);
			pane.end = Math.max(
				pane.times[pane.times.length - 1] || 0,
				...reader.parts.slice(-1).map(([, , to]) => to - reader.arrival_us),
			);
			pane.strip.canvas.setAttribute(
				"aria-label",
				"Where the time of request " +
					found.request +
					" went under " +
					run.label +
					": " +
					M.us(pane.end) +
					", " +
					M.count(reader.late) +
					" tokens late",
			);
			return pane;
		});
		const groups = found.unlucky.map((list, place) =>
			h(
				"optgroup",
				{ label: "unluckiest under " + answer.runs[place].label },
				list.map((one) =>
					h(
						"option",
						{ value: one.request },
						"request " +
							one.request +
							": fluidity-index " +
							M.digits(one.index) +
							", longest pause " +
							M.us(one.longest_us),
					),
				),
			),
		);
		menu.replaceChildren(h("option", { value: "" }, "the unluckiest"), ...groups);
		menu.value = chosen == null ? "" : String(chosen);
		if (menu.selectedIndex < 0) menu.prepend(h("option", { value: chosen, selected: true }, "request " + chosen));
		number.max = found.requests - 1;
		if (document.activeElement !== number) number.value = found.request;
		const worst = panes
			.flatMap((pane) => pane.reader.freezes.map((freeze) => ({ pane, freeze })))
			.filter(({ freeze }) => freeze.token > 0)
			.sort((a, b) => b.freeze.length_ns - a.freeze.length_ns)[0];
		const here = M.cursor.at != null && M.cursor.at >= arrival() && M.cursor.at <= arrival() + most();
		// A moment that stands already stays where it is.
		const follows = placed || M.cursor.at != null;
		if (placed && here) go(M.cursor.at - arrival(), true);
		else if (worst)
			go(
				worst.freeze.from_us + 0.8 * (worst.freeze.to_us - worst.freeze.from_us) - worst.pane.reader.arrival_us,
				follows,
			);
		else go(most() / 2, follows);
		placed = true;
	};
	const ask = async () => {
		if (asking) return;
		asking = true;
		const of = answer,
			request = chosen;
		const found = await P.ask({ op: "readers", scenario: { text: of.text, show: of.shown }, request });
		asking = false;
		if (of !== answer || request !== chosen) {
			ask();
			return;
		}
		if (found.ok) fill(found);
		else if (request != null && /requests, numbered/.test(found.problems[0].message)) {
			// There are fewer requests now, or a link asked for one that there never was.
			refuse("There is no request " + request + " here: this is the unluckiest.");
			chosen = null;
			ask();
		} else {
			stop();
			told = null;
			panes = [];
			M.empty(grid);
			clock.textContent = "";
			trouble.textContent = found.problems.map((one) => one.message).join("; ");
			trouble.hidden = false;
		}
	};
	const pick = (request, quiet) => {
		refuse("");
		chosen = request;
		stop();
		P.stands(!quiet);
		if (answer) ask();
	};
	menu.addEventListener("change", () => pick(menu.value === "" ? null : Number(menu.value)));
	number.addEventListener("change", () => {
		const value = Number(number.value),
			most = Number(number.max);
		const known = number.value.trim() !== "" && Number.isInteger(value) && value >= 0 && value <= most;
		if (known) {
			pick(value);
			return;
		}
		refuse(
			"There is no request " +
				(number.value.trim() || "without a number") +
				": they are numbered from 0 to " +
				most +
				".",
		);
		if (told) number.value = told.request;
	});
	P.readers = {
		draw: (to) => {
			stop();
			refuse("");
			answer = to;
			ask();
		},
		// quiet: no step for "back".
		pick: (request, quiet) => {
			if (request !== (told ? told.request : chosen)) pick(request, quiet);
		},
		// What a link says of it, before anything is drawn; a moment given there stays.
		begin: (request, at) => {
			chosen = request ?? null;
			if (at != null) {
				placed = true;
				M.cursor.set(at, "link");
			}
		},
		request: () => chosen,
	};
})();
