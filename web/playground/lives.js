// A row for each request: what it was at, on the clock of the timeline above.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const ROWS = 26,
		ROW = 13,
		LEFT = 72,
		FOOT = 20;
	const all = document.getElementById("lives-body"),
		body = h("div", {});
	let answer = null,
		timeline = null,
		told = null,
		timer = null,
		asking = false,
		lit = -1;
	const line = M.told("Point at a row to read it, or click it: the text above is then that request's.", true);
	const more = h("span", { class: "controls" });
	const holder = h("div", {});
	const count = h("p", { class: "hint" });
	body.append(
		M.legend(Object.values(P.phases).map(([name, color, pattern]) => ({ name, color, pattern }))),
		holder,
		line,
		more,
		count,
	);
	let boxes = [];
	// Rows of requests, or of sessions where there are some.
	const kind = h(
		"select",
		{ "aria-label": "What a row is" },
		h("option", { value: "requests" }, "a request"),
		h("option", { value: "sessions" }, "a session"),
	);
	const choice = h("div", { class: "controls", hidden: true }, h("label", {}, "A row is ", kind));
	all.append(choice, body);
	const bySession = () => !choice.hidden && kind.value === "sessions";

	const view = () => timeline?.view;
	const paint = (c, width, place) => {
		const lives = told ? told.runs[place] : [],
			shown = view();
		if (!shown) return;
		const plot = width - LEFT - 4,
			scale = plot / (shown.to - shown.from),
			x = (us) => LEFT + (us - shown.from) * scale,
			tall = ROW * lives.length;
		c.textAlign = "right";
		lives.forEach((life, row) => {
			const y = row * ROW;
			c.fillStyle = row === lit ? M.css("--accent") : M.css("--ink");
			c.font = (row === lit ? "700 " : "") + "11px system-ui, sans-serif";
			c.fillText(String(life.request), LEFT - 6, y + 10);
			c.fillStyle = M.css("--track");
			c.fillRect(LEFT, y + 1, plot, ROW - 2);
		});
		c.font = "12px system-ui, sans-serif";
		c.save();
		c.beginPath();
		c.rect(LEFT, 0, plot, tall);
		c.clip();
		// A phase at a time, so that a fill is made once.
		Object.entries(P.phases).forEach(([name, [, color, pattern]]) => {
			const plain = color(),
				lined = M.fill(c, plain, pattern);
			[false, true].forEach((wide) => {
				c.fillStyle = wide ? lined : plain;
				lives.forEach((life, row) =>
					life.parts.forEach(([phase, from, to]) => {
						if (phase !== name || to < shown.from || from > shown.to) return;
						const a = x(from),
							w = x(to) - a;
						if (w > 3 === wide) c.fillRect(a, row * ROW + 1, Math.max(0.7, w), ROW - 2);
					}),
				);
			});
		});
		M.drawCursor(c, (t) => (t >= shown.from && t <= shown.to ? x(t) : null), 0, tall);
		if (lit >= 0 && lit < lives.length) {
			c.strokeStyle = M.css("--accent");
			c.lineWidth = 2;
			c.strokeRect(LEFT + 1, lit * ROW + 1, plot - 2, ROW - 2);
		}
		c.restore();
		c.fillStyle = M.css("--ink");
		M.drawClock(c, shown, x, { left: LEFT, right: width, wide: plot, y: tall + 14 });
	};
	const draw = () => boxes.forEach((box) => box.surface.draw());
	const words = (place, row, us) => {
		const life = told.runs[place][row],
			part = life.parts.find(([, from, to]) => us >= from && us <= to);
		return (
			"Request " +
			life.request +
			" under " +
			answer.runs[place].label +
			(part
				? ": " + P.phases[part[0]][0] + ", " + M.between(part[1], part[2]) + " (" + M.us(part[2] - part[1]) + ")"
				: us < life.arrival_us
					? ": not sent yet"
					: life.lost
						? ": turned away"
						: ": done") +
			". Its prompt has " +
			M.count(life.prompt_tokens) +
			" tokens, its answer " +
			M.count(life.tokens) +
			"."
		);
	};
	const choose = (place, row, us) => {
		const life = told.runs[place][row],
			run = answer.runs[place];
		lit = row;
		line.textContent = words(place, row, us);
		P.readers.pick(life.request);
		M.cursor.set(us, "lives");
		more.replaceChildren(...ways(run, life, us));
		draw();
	};
	// Where a request leads at a moment: to its text, and to the stall that it stood in.
	const ways = (run, life, us) => {
		const stall = run.stalls.findIndex(
			(one) => us >= one.from_us && us <= one.to_us && one.replica === life.replica && life.arrival_us < one.to_us,
		);
		return [
			h(
				"button",
				{
					type: "button",
					onclick: () => P.part("readers"),
				},
				"Its text",
			),
			...(stall >= 0
				? [h("button", { type: "button", onclick: () => P.story(run, stall) }, "The stall of that moment")]
				: []),
		];
	};
	const make = (_run, place) => {
		const title = h("h3", {}),
			cell = h("div", {}, title);
		holder.append(cell);
		const label = "Requests. Up and down arrows go from row to row, Enter chooses one.";
		const surface = M.surface(cell, ROW * ROWS + FOOT, label, (c, width) => paint(c, width, place));
		const canvas = surface.canvas;
		canvas.tabIndex = 0;
		canvas.setAttribute("role", "application");
		canvas.setAttribute("aria-roledescription", "rows of requests");
		const at = (event) => {
			const row = Math.floor(event.offsetY / ROW),
				shown = view();
			if (!told || !shown || row < 0 || row >= told.runs[place].length || event.offsetX < LEFT) return null;
			return { row, us: shown.from + ((event.offsetX - LEFT) / (surface.width - LEFT - 4)) * (shown.to - shown.from) };
		};
		surface.on("pointermove", (event) => {
			const found = at(event);
			canvas.style.cursor = found ? "pointer" : "default";
			line.tell(found ? words(place, found.row, found.us) : "");
			M.cursor.point(found ? found.us : null, surface);
		});
		surface.on("pointerleave", () => M.cursor.point(null, surface));
		surface.on("click", (event) => {
			const found = at(event);
			if (found) choose(place, found.row, found.us);
		});
		surface.on("keydown", (event) => {
			const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
			if (!told || (!step && event.key !== "Enter")) return;
			event.preventDefault();
			const rows = told.runs[place].length,
				shown = view();
			if (step) {
				lit = Math.max(0, Math.min(rows - 1, lit + step));
				line.textContent = words(place, lit, M.cursor.at ?? (shown.from + shown.to) / 2);
				draw();
			} else if (lit >= 0) choose(place, lit, M.cursor.at ?? (shown.from + shown.to) / 2);
		});
		M.cursor.follow(() => surface.draw(), surface.ended.signal);
		M.saver(
			cell,
			"What requests were at, scheduler " + "AB"[place],
			surface,
			() => [
				["request", "phase", "from s", "to s"],
				told.runs[place].flatMap((life) =>
					life.parts.map(([phase, from, to]) => [life.request, phase, from / 1e6, to / 1e6]),
				),
			],
			() => Object.values(P.phases).map(([name, color]) => ({ name, color })),
		);
		return { surface, title };
	};
	const ask = async () => {
		timer = null;
		if (asking || !timeline || bySession()) return;
		asking = true;
		const of = answer,
			{ from, to } = view();
		const found = await P.ask({
			op: "lives",
			scenario: { text: of.text, show: of.shown },
			from_us: Math.floor(from),
			to_us: Math.ceil(to),
			rows: ROWS,
			request: P.readers.request(),
		});
		asking = false;
		if (of !== answer || view()?.from !== from || view()?.to !== to) {
			wish();
			return;
		}
		if (!found.ok) return;
		told = found;
		lit = told.runs[0].findIndex((life) => life.request === P.readers.request());
		count.textContent =
			found.there > found.runs[0].length
				? "The " +
					M.count(found.runs[0].length) +
					" requests that fared worst, of " +
					M.count(found.there) +
					" that were there in this stretch of time; zoom into the timeline for others."
				: "All " + M.count(found.there) + " requests that were there in this stretch of time.";
		const tall = ROW * Math.max(1, ...found.runs.map((lives) => lives.length)) + FOOT;
		boxes.forEach(({ surface }) => {
			surface.height = tall;
			surface.canvas.style.height = tall + "px";
		});
		draw();
	};
	const wish = () => {
		clearTimeout(timer);
		timer = setTimeout(ask, 200);
	};
	const shown = () => {
		body.hidden = bySession();
		P.threads.body.hidden = !body.hidden;
	};
	kind.addEventListener("change", () => {
		shown();
		if (bySession()) P.threads.draw(answer);
		else ask();
		P.stands(true);
	});
	P.lives = {
		ways,
		// What rows are, as a link has it.
		rows: () => (bySession() ? "sessions" : null),
		begin: (rows) => {
			kind.value = rows || "requests";
			if (answer) P.lives.draw(answer);
		},
		draw: (to) => {
			answer = to;
			timeline = P.timeline;
			if (!P.threads.body.isConnected) all.append(P.threads.body);
			choice.hidden = !to.results.some((one) => one.sessions);
			shown();
			if (bySession()) P.threads.draw(to);
			more.replaceChildren();
			line.tell("");
			// What is drawn stays until the new rows are there.
			if (!timeline || boxes.length !== to.runs.length) {
				told = null;
				M.empty(holder);
				boxes = timeline ? to.runs.map(make) : [];
			} else boxes.forEach((box) => M.onRedraw(box.surface.draw));
			boxes.forEach((box, place) =>
				box.title.replaceChildren(
					M.swatch(() => M.runColor(place)),
					to.runs[place].label,
				),
			);
			if (!timeline) {
				count.textContent = "No iteration ran.";
				return;
			}
			timeline.watch(() => {
				draw();
				if (!P.near("lives")) P.later("lives");
				else if (bySession()) P.threads.moved();
				else wish();
			});
			ask();
		},
	};
})();
