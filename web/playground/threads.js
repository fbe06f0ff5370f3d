// A row for each session: its turns on the clock of the timeline, each filled by where the tokens of its prompt
// came from.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const ROWS = 16,
		LINE = 18,
		BAR = 12,
		LEFT = 72,
		FOOT = 20;
	const two = (light, dark) => () => (M.isDark() ? dark : light);
	// From the bottom of a bar up: what had to be computed, then what was found.
	/** @type {[string, string, () => string, string, (turn: any) => number][]} */
	const SOURCES = [
		["computed", "computed for the first time", () => M.kindColor("prefill"), "slash", (turn) => turn.computed],
		["again", "computed again, though said before", () => M.causeColor("cache_evicted"), "cross", (turn) => turn.again],
		["tiers", "brought from a tier", () => M.causeColor("kv_load"), "level", (turn) => turn.hits.tiers],
		["other", "found: said by others", () => M.css("--area-faint"), "dots", (turn) => turn.hits.other],
		["prefix", "found: shared prefix", two("#00838f", "#5fd3dc"), "back", (turn) => turn.hits.shared_prefix],
		["own", "found: said in this session", two("#1f5fbf", "#8db8ff"), "plain", (turn) => turn.hits.own_session],
	];
	const body = h("div", { hidden: true });
	const line = M.told("Point at a turn to read it, or click it: the text above is then that request's.", true);
	const more = h("span", { class: "controls" });
	const holder = h("div", {});
	const count = h("p", { class: "hint" });
	body.append(
		h(
			"p",
			{ class: "hint" },
			"A bar is a turn, from when it was sent to its last token; the line under it is the wait for its first token. Between two bars the session waits for its user, or for a tool.",
		),
		M.legend([
			...SOURCES.map(([, name, color, pattern]) => ({ name, color, pattern })),
			{ name: "waits for its first token", color: () => M.css("--mark"), pattern: "plain" },
		]),
		holder,
		line,
		more,
		count,
	);

	let answer = null,
		told = null,
		timer = null,
		asking = false,
		boxes = [],
		// The turn that is lit: row, place among the row's turns, and its number, the same under both.
		lit = null;
	const view = () => P.timeline?.view;
	// Where each row begins; as high as it is under the scheduler that needs most lines.
	const tops = () => {
		let at = 0;
		const rows = told.runs[0].map((_, row) => {
			const top = at;
			at += LINE * Math.max(...told.runs.map((run) => run[row].lines));
			return top;
		});
		return [...rows, at];
	};
	const paint = (c, width, place) => {
		const shown = view();
		if (!shown || !told) return;
		const threads = told.runs[place],
			rows = tops(),
			tall = rows[rows.length - 1],
			plot = width - LEFT - 4,
			scale = plot / (shown.to - shown.from),
			x = (us) => LEFT + (us - shown.from) * scale;
		c.textAlign = "right";
		threads.forEach((thread, row) => {
			const on = lit?.row === row;
			c.fillStyle = on ? M.css("--accent") : M.css("--ink");
			c.font = (on ? "700 " : "") + "11px system-ui, sans-serif";
			c.fillText(String(thread.session), LEFT - 6, rows[row] + 11);
			c.fillStyle = M.css("--track");
			c.fillRect(LEFT, rows[row] + 1, plot, rows[row + 1] - rows[row] - 2);
		});
		c.font = "12px system-ui, sans-serif";
		c.save();
		c.beginPath();
		c.rect(LEFT, 0, plot, tall);
		c.clip();
		// The thread itself, from its first turn to its last.
		c.strokeStyle = M.css("--line");
		c.lineWidth = 1;
		threads.forEach(({ turns }, row) => {
			if (!turns.length) return;
			const y = rows[row] + 1 + BAR / 2 + 0.5;
			c.beginPath();
			c.moveTo(x(turns[0].arrival_us), y);
			c.lineTo(x(Math.max(...turns.map((turn) => turn.end_us))), y);
			c.stroke();
		});
		const each = (act) =>
			threads.forEach(({ turns }, row) =>
				turns.forEach((turn) => {
					if (turn.end_us < shown.from || turn.arrival_us > shown.to) return;
					const a = x(turn.arrival_us);
					act(turn, a, Math.max(2, x(turn.end_us) - a), rows[row] + 1 + turn.line * LINE, row);
				}),
			);
		// A source at a time, so that a fill is made once.
		const stacked = new Map();
		SOURCES.forEach(([, , color, pattern, of]) => {
			const plain = color(),
				lined = M.fill(c, plain, pattern);
			each((turn, a, wide, y) => {
				if (!turn.prompt_tokens) return;
				const before = stacked.get(turn) || 0,
					share = of(turn) / turn.prompt_tokens;
				if (!share) return;
				stacked.set(turn, before + share);
				c.fillStyle = wide > 4 ? lined : plain;
				c.fillRect(a, y + BAR * (1 - before - share), wide, BAR * share);
			});
		});
		each((turn, a, wide, y, row) => {
			c.fillStyle = M.css("--mark");
			const first = Math.min(turn.first_us ?? turn.end_us, turn.end_us);
			c.fillRect(a, y + BAR + 1, Math.max(1, x(first) - a), 3);
			const on = lit?.row === row && lit.turn === turn.turn;
			if (!on && turn.prompt_tokens && !turn.lost) return;
			c.strokeStyle = on ? M.css("--accent") : M.css(turn.lost ? "--bad" : "--faint");
			c.lineWidth = on ? 2 : 1;
			c.strokeRect(a + 0.5, y + 0.5, Math.max(2, wide - 1), BAR - 1);
		});
		M.drawCursor(c, (t) => (t >= shown.from && t <= shown.to ? x(t) : null), 0, tall);
		c.restore();
		c.fillStyle = M.css("--ink");
		M.drawClock(c, shown, x, { left: LEFT, right: width, wide: plot, y: tall + 14 });
	};
	const draw = () => boxes.forEach((box) => box.surface.draw());
	const words = (place, row, at) => {
		const thread = told.runs[place][row],
			turn = thread.turns[at];
		if (!turn)
			return (
				"Session " + thread.session + " under " + answer.runs[place].label + ": " + thread.turns_sent + " turns so far."
			);
		const before = thread.turns[at - 1],
			gap = before && turn.line === 0 && before.line === 0 ? turn.arrival_us - before.end_us : 0;
		const parts = SOURCES.filter(([, , , , of]) => of(turn) > 0);
		return (
			"Session " +
			thread.session +
			", turn " +
			turn.turn +
			" under " +
			answer.runs[place].label +
			" is request " +
			turn.request +
			", sent at " +
			M.us(turn.arrival_us) +
			(gap > 0 ? ", " + M.us(gap) + " after the answer before it" + (turn.after ? " (" + turn.after + ")" : "") : "") +
			"; " +
			(turn.first_us == null
				? turn.lost
					? "turned away"
					: "no token yet"
				: M.us(turn.first_us - turn.arrival_us) +
					" to its first token, " +
					M.us(turn.end_us - turn.arrival_us) +
					(turn.done ? " to its last" : " so far")) +
			". " +
			(turn.prompt_tokens
				? "Of " +
					M.count(turn.prompt_tokens) +
					" prompt tokens " +
					parts.map(([, name, , , of]) => M.count(of(turn)) + " " + name.replace("found: ", "found, ")).join("; ") +
					"."
				: "It was never in a batch.")
		);
	};
	const choose = (place, row, at) => {
		const turn = told.runs[place][row].turns[at];
		lit = { row, at, turn: turn?.turn };
		line.textContent = words(place, row, at);
		if (turn) {
			const us = M.cursor.at;
			if (us == null || us < turn.arrival_us || us > turn.end_us) M.cursor.set(turn.arrival_us, "threads");
			P.readers.pick(turn.request);
			more.replaceChildren(...P.lives.ways(answer.runs[place], turn, M.cursor.at));
		}
		draw();
	};
	const make = (_run, place) => {
		const title = h("h3", {}),
			cell = h("div", {}, title);
		holder.append(cell);
		const label =
			"Sessions. Up and down arrows go from session to session, left and right from turn to turn, Enter chooses one.";
		const surface = M.surface(cell, LINE * ROWS + FOOT, label, (c, width) => paint(c, width, place));
		const canvas = surface.canvas;
		canvas.tabIndex = 0;
		canvas.setAttribute("role", "application");
		canvas.setAttribute("aria-roledescription", "rows of sessions");
		const at = (event) => {
			const shown = view();
			if (!told || !shown || event.offsetX < LEFT) return null;
			const rows = tops(),
				row = rows.findIndex((_, k) => event.offsetY >= rows[k] && event.offsetY < rows[k + 1]);
			if (row < 0) return null;
			const each = (shown.to - shown.from) / (surface.width - LEFT - 4),
				us = shown.from + (event.offsetX - LEFT) * each,
				own = Math.floor((event.offsetY - rows[row]) / LINE),
				turns = told.runs[place][row].turns;
			// A turn of a pixel can be hit too.
			const found = turns.findLastIndex(
				(turn) => turn.line === own && us >= turn.arrival_us - 2 * each && us <= turn.end_us + 2 * each,
			);
			return { row, at: found, us };
		};
		surface.on("pointermove", (event) => {
			const found = at(event);
			canvas.style.cursor = found && found.at >= 0 ? "pointer" : "default";
			line.tell(found ? words(place, found.row, found.at) : "");
			M.cursor.point(found ? found.us : null, surface);
		});
		surface.on("pointerleave", () => M.cursor.point(null, surface));
		surface.on("click", (event) => {
			const found = at(event);
			if (!found || found.at < 0) return;
			M.cursor.set(found.us, "threads");
			choose(place, found.row, found.at);
		});
		surface.on("keydown", (event) => {
			const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key];
			if (!told || (!step && event.key !== "Enter")) return;
			event.preventDefault();
			const within = (to, all) => Math.max(0, Math.min(all - 1, to));
			if (step) {
				const row = within(lit ? lit.row + step[0] : 0, told.runs[place].length),
					turns = told.runs[place][row].turns,
					shown = view();
				const first = turns.findIndex((turn) => turn.end_us >= shown.from);
				const at = step[1] && lit ? within(lit.at + step[1], turns.length) : Math.max(0, first);
				lit = { row, at, turn: turns[at]?.turn };
				line.textContent = words(place, lit.row, lit.at);
				draw();
			} else if (lit) choose(place, lit.row, lit.at);
		});
		M.cursor.follow(() => surface.draw(), surface.ended.signal);
		M.saver(
			cell,
			"Turns of sessions, scheduler " + "AB"[place],
			surface,
			() => [
				[
					"session",
					"turn",
					"request",
					"sent s",
					"first token s",
					"end s",
					...SOURCES.map(([name]) => name + " tokens"),
				],
				told.runs[place].flatMap((thread) =>
					thread.turns.map((turn) => [
						thread.session,
						turn.turn,
						turn.request,
						turn.arrival_us / 1e6,
						turn.first_us == null ? "" : turn.first_us / 1e6,
						turn.end_us / 1e6,
						...SOURCES.map(([, , , , of]) => of(turn)),
					]),
				),
			],
			() => SOURCES.map(([, name, color]) => ({ name, color })),
		);
		return { surface, title };
	};
	const ask = async () => {
		timer = null;
		if (asking || !view()) return;
		asking = true;
		const of = answer,
			{ from, to } = view();
		const found = await P.ask({
			op: "sessions",
			scenario: { text: of.text, show: of.shown },
			from_us: Math.floor(from),
			to_us: Math.ceil(to),
			rows: ROWS,
			request: P.readers.request(),
		});
		asking = false;
		if (of !== answer || view()?.from !== from || view()?.to !== to) {
			P.threads.moved();
			return;
		}
		if (!found.ok) return;
		told = found;
		lit = null;
		told.runs[0].forEach((thread, row) => {
			const place = thread.turns.findIndex((turn) => turn.request === P.readers.request());
			if (place >= 0) lit = { row, at: place, turn: thread.turns[place].turn };
		});
		count.textContent =
			found.there > found.runs[0].length
				? "The " +
					M.count(found.runs[0].length) +
					" sessions whose turns fared worst, of " +
					M.count(found.there) +
					" that were under way in this stretch of time; zoom into the timeline for others."
				: "All " + M.count(found.there) + " sessions that were under way in this stretch of time.";
		const tall = Math.max(LINE, tops()[found.runs[0].length]) + FOOT;
		boxes.forEach(({ surface }) => {
			surface.height = tall;
			surface.canvas.style.height = tall + "px";
		});
		draw();
	};
	P.threads = {
		body,
		draw: (to) => {
			answer = to;
			more.replaceChildren();
			line.tell("");
			// What is drawn stays until the new rows are there.
			if (boxes.length !== to.runs.length) {
				told = null;
				M.empty(holder);
				boxes = view() ? to.runs.map(make) : [];
			} else boxes.forEach((box) => M.onRedraw(box.surface.draw));
			boxes.forEach((box, place) =>
				box.title.replaceChildren(
					M.swatch(() => M.runColor(place)),
					to.runs[place].label,
				),
			);
			if (!view()) {
				count.textContent = "No iteration ran.";
				return;
			}
			ask();
		},
		// The timeline shows another stretch.
		moved: () => {
			draw();
			clearTimeout(timer);
			timer = setTimeout(ask, 200);
		},
	};
})();
