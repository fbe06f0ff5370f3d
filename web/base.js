"use strict";
// What all parts of a page share: elements, numbers, colours, patterns, drawing surfaces.
// Text from scenarios is only ever set as text, never as markup.
// biome-ignore lint/correctness/noUnusedVariables: every script after this one uses it.
var Metron = (() => {
	const M = /** @type {MetronParts} */ ({});

	/* ---- elements ---- */
	M.h = (tag, attributes, ...children) => {
		const element = document.createElement(tag);
		for (const [name, value] of Object.entries(attributes || {})) {
			if (value == null || value === false) continue;
			if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
			else element.setAttribute(name, value === true ? "" : String(value));
		}
		for (const child of children.flat()) {
			if (child == null || child === false) continue;
			element.append(child instanceof Node ? child : document.createTextNode(String(child)));
		}
		return element;
	};

	/* ---- numbers, as the terminal writes them ---- */
	// Formats are kept: to make one takes longer than to draw a plot's axis.
	const formats = [];
	const fixed = (value, decimals) => {
		formats[decimals] ??= new Intl.NumberFormat("en-US", {
			minimumFractionDigits: decimals,
			maximumFractionDigits: decimals,
		});
		return formats[decimals].format(value);
	};
	const grouped = (value) => fixed(Math.round(value), 0);
	M.digits = (value) => {
		const size = Math.abs(value);
		if (size >= 99.95) return grouped(value);
		if (size >= 9.995) return value.toFixed(1);
		if (size >= 0.9995) return value.toFixed(2);
		return value === 0 ? "0" : value.toFixed(3);
	};
	M.count = grouped;
	M.seconds = (s) => {
		if (s == null || !Number.isFinite(s)) return "-";
		const size = Math.abs(s);
		if (size >= 0.9995) return M.digits(s) + " s";
		if (size >= 0.0009995 || s === 0) return M.digits(s * 1e3) + " ms";
		return M.digits(s * 1e6) + " µs";
	};
	M.us = (us) => M.seconds(us / 1e6);
	// Both ends of a stretch, microseconds, told finely enough to differ.
	M.between = (from, to) => {
		const a = M.us(from),
			b = M.us(to);
		if (a !== b || !(to > from)) return a + " to " + b;
		const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10((to - from) / 1e6)) + 1));
		return (from / 1e6).toFixed(decimals) + " s to " + (to / 1e6).toFixed(decimals) + " s";
	};
	M.ns = (ns) => M.seconds(ns / 1e9);
	M.percent = (share) => {
		if (share == null) return "-";
		const text = (share * 100).toFixed(1) + " %";
		if (text === "100.0 %" && share < 1) return "> 99.9 %";
		if (text === "0.0 %" && share > 0) return "< 0.1 %";
		return text;
	};
	// A tick's label: as few digits as tell the step apart.
	M.tick = (value, step) => {
		let decimals = Math.max(0, Math.min(9, Math.ceil(-Math.log10(step) - 1e-9)));
		// A step of 0.025 needs one more than one of 0.02.
		while (decimals < 9 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6) decimals++;
		return fixed(value, decimals);
	};
	M.ticks = (low, high, wanted, whole) => {
		const span = high - low;
		if (!(span > 0)) return { step: 1, at: [low] };
		const raw = span / Math.max(1, wanted);
		const power = 10 ** Math.floor(Math.log10(raw));
		const step = Math.max(
			whole ? 1 : 0,
			[1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.75),
		);
		const at = [];
		for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) at.push(k * step + 0);
		return { step, at };
	};

	/* ---- theme ---- */
	const query = (text) => (window.matchMedia ? window.matchMedia(text) : { matches: false, addEventListener() {} });
	const prefersDark = query("(prefers-color-scheme: dark)");
	const printing = query("print");
	let chosen = null;
	const listeners = [];
	M.isDark = () => !printing.matches && !M.printNow && (chosen ? chosen === "dark" : prefersDark.matches);
	M.onRedraw = (listener) => listeners.push(listener);
	// A page that draws again and again forgets who listened to what it drew before.
	M.mark = () => listeners.length;
	M.release = (mark) => {
		listeners.length = Math.min(mark, listeners.length);
	};
	M.redrawAll = () => {
		document.documentElement.dataset.theme = M.isDark() ? "dark" : "light";
		looked.clear();
		listeners.forEach((listener) => listener());
	};
	prefersDark.addEventListener("change", M.redrawAll);
	printing.addEventListener("change", M.redrawAll);
	// Drawn for the width of a sheet, not of the window.
	const forPrint = (on) => () => {
		M.printNow = on;
		document.body.style.width = on ? "700px" : "";
		M.redrawAll();
	};
	window.addEventListener("beforeprint", forPrint(true));
	window.addEventListener("afterprint", forPrint(false));
	// The theme that someone chose; null where the system's counts.
	M.theme = (to) => {
		if (to !== undefined && to !== chosen) {
			chosen = to;
			M.redrawAll();
		}
		return chosen;
	};
	M.themeToggle = () => {
		const button = M.h("button", { type: "button", class: "theme" });
		const name = () => {
			button.textContent = M.isDark() ? "Light colours" : "Dark colours";
		};
		button.addEventListener("click", () => {
			chosen = M.isDark() ? "light" : "dark";
			M.redrawAll();
		});
		M.onRedraw(name);
		name();
		return button;
	};
	M.calm = () => query("(prefers-reduced-motion: reduce)").matches;
	// Colours of the style sheet, looked up once a theme.
	const looked = new Map();
	M.css = (name) => {
		if (!looked.has(name)) looked.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
		return looked.get(name);
	};

	/* ---- colours: schedulers by place, causes by name, kinds of iteration ---- */
	// Most often there are two, in ink and violet: blue and orange are decode and prefill, and what has to do with them.
	const RUNS_LIGHT = ["#171b22", "#770591", "#007a58", "#a23b7b", "#7d6000", "#4a55c4", "#9b2226", "#3d6b6b"];
	const RUNS_DARK = ["#f1f3f6", "#c256f9", "#41d3a5", "#f39ccb", "#ecc550", "#aab4ff", "#ff8f8f", "#9ad1d1"];
	const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 2], [12, 5], [1, 2], [6, 2, 2, 2, 2, 2]];
	M.runColor = (place) => {
		const of = M.isDark() ? RUNS_DARK : RUNS_LIGHT;
		return of[place % of.length];
	};
	M.runDash = (place) => DASHES[place % DASHES.length];

	// Light, dark, pattern. Hues are apart for the common kinds of colour blindness, and every
	// neighbour in the order of size also differs in its pattern.
	const CAUSES = {
		own: ["#6b7280", "#9aa3af", "plain"],
		batch_growth: ["#4b7fb5", "#7fb2e5", "dots"],
		prefill_interference: ["#b57700", "#f0b429", "slash"],
		prefill_only: ["#c2410c", "#ff8a50", "plain"],
		decodes_alongside: ["#0f766e", "#3fc7b8", "back"],
		communication: ["#6d28d9", "#b69cff", "dots"],
		pipeline_bubble: ["#1e5b6e", "#6fc3dd", "level"],
		lockstep_wait: ["#57534e", "#d6cfc7", "cross"],
		host: ["#8a6f5c", "#c9ab94", "level"],
		idle: ["#a3a3a3", "#70757d", "level"],
		draft_rejected: ["#9f5f80", "#dca7c6", "back"],
		cache_evicted: ["#8a3ffc", "#be95ff", "cross"],
		kv_transfer: ["#9a5b13", "#e0a458", "level"],
		kv_load: ["#7c6a0a", "#d9c463", "slash"],
		front_end: ["#5b6b2f", "#b7c97a", "slash"],
		step_in_flight: ["#3f8f3f", "#86d186", "dots"],
		scheduled_ahead: ["#2f6f4f", "#6cc49a", "slash"],
		no_seat: ["#0b7f8a", "#45c9d4", "cross"],
		no_kv_blocks: ["#a8327a", "#f08ac3", "cross"],
		head_of_line: ["#7a3e9d", "#d0a3ee", "dots"],
		no_token_budget: ["#3730a3", "#a5b0ff", "back"],
		policy_deferred: ["#827a00", "#d6cf45", "cross"],
		preempted_waiting: ["#b3122f", "#ff7d93", "slash"],
		recompute: ["#7a1f5c", "#e07ac0", "level"],
		cut_off: ["#525252", "#c7c7c7", "cross"],
	};
	M.causeColor = (name) => {
		const of = CAUSES[name] || ["#444444", "#bbbbbb", "plain"];
		return of[M.isDark() ? 1 : 0];
	};
	M.causePattern = (name) => (CAUSES[name] || [])[2] || "plain";
	// As type, not as a terminal writes it; a number and its unit stay on one line.
	M.unbroken = (text) =>
		text.replaceAll(" -> ", " \u2192 ").replace(/(\d) (?=(?:%|s|ms|\u00b5s)(?![\w]))/g, "$1\u00a0");
	M.causeWords = (name) =>
		String(name || "late")
			.replaceAll("_", " ")
			.replace(/\bkv\b/, "KV");
	const KINDS = { prefill: ["#c2410c", "#ff8a50"], decode: ["#2f6fb0", "#6aaef0"] };
	M.kindColor = (kind) => KINDS[kind][M.isDark() ? 1 : 0];

	const patterns = new Map();
	// A fill for a canvas: the colour, with the lines of its pattern in the page's background.
	M.fill = (context, color, pattern) => {
		if (pattern === "plain") return color;
		const key = color + pattern + (M.isDark() ? "d" : "l");
		if (!patterns.has(key)) {
			const tile = document.createElement("canvas");
			tile.width = tile.height = 8;
			const t = tile.getContext("2d");
			t.fillStyle = color;
			t.fillRect(0, 0, 8, 8);
			t.strokeStyle = t.fillStyle = M.isDark() ? "rgba(0,0,0,.55)" : "rgba(255,255,255,.7)";
			t.lineWidth = 1.5;
			const line = (...p) => {
				t.beginPath();
				t.moveTo(p[0], p[1]);
				t.lineTo(p[2], p[3]);
				t.stroke();
			};
			if (pattern === "slash" || pattern === "cross") {
				line(-1, 9, 9, -1);
				line(-5, 5, 5, -5);
				line(3, 13, 13, 3);
			}
			if (pattern === "back" || pattern === "cross") {
				line(-1, -1, 9, 9);
				line(3, -5, 13, 5);
				line(-5, 3, 5, 13);
			}
			if (pattern === "dots") {
				t.fillRect(1, 1, 2, 2);
				t.fillRect(5, 5, 2, 2);
			}
			if (pattern === "level") {
				line(0, 2, 8, 2);
				line(0, 6, 8, 6);
			}
			patterns.set(key, tile);
		}
		const made = context.createPattern(patterns.get(key), "repeat");
		madeOf.set(made, [color, pattern, M.isDark() ? "rgba(0,0,0,.55)" : "rgba(255,255,255,.7)"]);
		return made;
	};
	// What a fill's pattern is made of: its colour, its name, the colour of its lines.
	const madeOf = new WeakMap();
	M.patternOf = (pattern) => madeOf.get(pattern);
	// A small sample of a colour and its pattern, for legends: a background, since a page has a hundred
	// of them and each canvas costs as much as a plot when a frame is put together.
	const LINES = {
		slash: (line) => "repeating-linear-gradient(135deg," + line + " 0 1.5px,transparent 1.5px 4px)",
		back: (line) => "repeating-linear-gradient(45deg," + line + " 0 1.5px,transparent 1.5px 4px)",
		level: (line) => "repeating-linear-gradient(0deg," + line + " 0 1.5px,transparent 1.5px 4px)",
		dots: (line) =>
			"conic-gradient(from 90deg at 50% 50%," +
			line +
			" 25%,transparent 0 50%," +
			line +
			" 50% 75%,transparent 0) 0 0/4px 4px",
		cross: (line) => LINES.slash(line) + "," + LINES.back(line),
	};
	M.background = (color, pattern) =>
		(LINES[pattern] ? LINES[pattern](paper()) + "," : "") + "linear-gradient(" + color + "," + color + ")";
	const paper = () => (M.isDark() ? "rgba(0,0,0,.55)" : "rgba(255,255,255,.7)");
	M.swatch = (color, pattern, half) => {
		const sample = M.h("span", { class: "swatch", "aria-hidden": "true" });
		const draw = () => {
			sample.style.background =
				(half ? "linear-gradient(" + half() + " 50%,transparent 0)," : "") + M.background(color(), pattern);
		};
		M.onRedraw(draw);
		draw();
		return sample;
	};
	// A piece of a line, as a plot draws it.
	M.stroke = (color, dash, width) => {
		const sample = M.h("span", { class: "stroke", "aria-hidden": "true" });
		sample.style.height = width + "px";
		const draw = () => {
			let at = 0;
			const parts = dash.map((one, k) => {
				const from = at;
				at += one;
				return (k % 2 ? "transparent " : color() + " ") + from + "px " + at + "px";
			});
			sample.style.background = parts.length ? "repeating-linear-gradient(90deg," + parts.join(",") + ")" : color();
		};
		M.onRedraw(draw);
		draw();
		return sample;
	};
	M.legend = (entries) =>
		M.h(
			"ul",
			{ class: "legend" },
			entries.map((entry) =>
				M.h("li", { title: entry.meaning }, M.swatch(entry.color, entry.pattern, entry.half), entry.name),
			),
		);

	// A line below a plot that says what the pointer is on, and how to ask before it is on anything.
	M.told = (how, tall) => {
		const line = M.h("p", { class: tall ? "readout tall" : "readout" }, how);
		line.tell = (text) => {
			line.textContent = text || how;
		};
		return line;
	};

	/* ---- a canvas that keeps its size and sharpness ---- */
	// Canvases to draw with the next frame: all are measured first, so that the page is laid out once.
	// One that is out of sight waits until it comes near, or until nothing else is to be done.
	const asked = new Set(),
		hidden = new Set(),
		surfaces = new WeakMap();
	const idle = window.requestIdleCallback
		? (act) => requestIdleCallback(act, { timeout: 2000 })
		: (act) => setTimeout(act, 200);
	const frame = () => {
		const now = [...asked].filter((one) => one.canvas.isConnected);
		asked.clear();
		const boxes = now.map((one) => one.canvas.getBoundingClientRect());
		now.forEach((one, k) => {
			const away = boxes[k].bottom < 0 || boxes[k].top > window.innerHeight;
			if (away && !one.always && !printing.matches) {
				if (!hidden.size) idle(rest);
				hidden.add(one);
			} else one.paint(boxes[k].width);
		});
	};
	const rest = () => {
		hidden.forEach((one) => {
			if (!one.canvas.isConnected) hidden.delete(one);
		});
		const [one] = hidden;
		if (!one) return;
		one.drawNow();
		if (hidden.size) idle(rest);
	};
	const near =
		window.IntersectionObserver &&
		new IntersectionObserver(
			(entries) =>
				entries.forEach((entry) => {
					const one = surfaces.get(entry.target);
					if (entry.isIntersecting && one && hidden.has(one)) one.drawNow();
				}),
			{ rootMargin: "200px" },
		);
	const sized =
		window.ResizeObserver &&
		new ResizeObserver((entries) =>
			entries.forEach((entry) => {
				const one = surfaces.get(entry.target);
				if (one && Math.round(entry.contentRect.width) !== Math.round(one.width)) one.draw();
			}),
		);
	// Where there is no graphics card, the first frame of a canvas costs 2 to 4 ms more than any later one,
	// so a page that draws again and again uses its canvases again.
	const SPARE_MAX = 16;
	let spare = [];
	M.spareCanvas = () => spare.shift();
	// Empties a part of the page, its canvases kept for what is drawn next.
	M.empty = (body) => {
		const used = [...body.querySelectorAll("canvas")];
		used.forEach((canvas) => {
			const one = surfaces.get(canvas);
			if (!one) return;
			[asked, hidden].forEach((set) => set.delete(one));
			one.ended.abort();
			surfaces.delete(canvas);
			[...canvas.attributes].forEach(({ name }) => {
				if (name !== "width" && name !== "height") canvas.removeAttribute(name);
			});
		});
		body.replaceChildren();
		if (M.forgetPlots) M.forgetPlots();
		used.forEach((canvas) => canvas.remove());
		spare = [...used, ...spare].slice(0, SPARE_MAX);
	};
	// on(type, act, options): listens to the canvas, for as long as it shows this.
	M.surface = (parent, height, label, draw) => {
		const canvas = M.spareCanvas() || document.createElement("canvas"),
			ended = new AbortController();
		Object.entries({ class: "surface", role: "img", "aria-label": label }).forEach(([name, value]) =>
			canvas.setAttribute(name, value),
		);
		canvas.style.height = height + "px";
		parent.append(canvas);
		const surface = { canvas, ended, width: 0, height, always: !near };
		surface.on = (type, act, options) => canvas.addEventListener(type, act, { ...options, signal: ended.signal });
		surfaces.set(canvas, surface);
		surface.paint = (width) => {
			hidden.delete(surface);
			// Once it has ended, the canvas shows something else.
			if (!width || ended.signal.aborted) return;
			const ratio = Math.min(window.devicePixelRatio || 1, 2);
			// A canvas that has shown something else keeps that one's colours and dashes until it is sized.
			if (
				!surface.width ||
				canvas.width !== Math.round(width * ratio) ||
				canvas.height !== Math.round(surface.height * ratio)
			) {
				canvas.width = Math.round(width * ratio);
				canvas.height = Math.round(surface.height * ratio);
			}
			surface.width = width;
			const context = canvas.getContext("2d");
			context.setTransform(ratio, 0, 0, ratio, 0, 0);
			context.clearRect(0, 0, width, surface.height);
			context.font = "12px system-ui, sans-serif";
			context.textBaseline = "alphabetic";
			draw(context, width, surface.height);
		};
		surface.drawNow = () => {
			asked.delete(surface);
			surface.paint(canvas.clientWidth);
		};
		surface.draw = () => {
			if (!asked.size) requestAnimationFrame(frame);
			asked.add(surface);
		};
		if (sized) sized.observe(canvas);
		if (near) near.observe(canvas);
		M.onRedraw(() => {
			if (M.printNow) surface.drawNow();
			else surface.draw();
		});
		surface.draw();
		return surface;
	};

	/* ---- one moment for all plots that have a clock ---- */
	// Microseconds of simulated time, or null; `hover` is what a pointer is on, `at` where a player stands.
	const followers = new Set();
	M.cursor = {
		at: null,
		hover: null,
		// follow(cursor, by): told of every move; it ends with the surface that it draws on.
		follow: (follow, signal) => {
			followers.add(follow);
			if (signal) signal.addEventListener("abort", () => followers.delete(follow));
		},
		set: (at, by) => {
			if (at === M.cursor.at) return;
			M.cursor.at = at;
			followers.forEach((follow) => follow(M.cursor, by));
		},
		point: (hover, by) => {
			if (hover === M.cursor.hover) return;
			M.cursor.hover = hover;
			followers.forEach((follow) => follow(M.cursor, by));
		},
	};
	// Draws both on a plot: x gives the place of a time, or null where it is out of sight.
	M.drawCursor = (c, x, top, bottom) => {
		const line = (t, ink, dash, width) => {
			const at = t == null ? null : x(t);
			if (at == null) return;
			c.save();
			c.strokeStyle = M.css(ink);
			c.lineWidth = width;
			c.setLineDash(dash);
			c.beginPath();
			c.moveTo(at, top);
			c.lineTo(at, bottom);
			c.stroke();
			c.restore();
		};
		line(M.cursor.hover, "--faint", [2, 3], 1);
		line(M.cursor.at, "--accent", [], 2);
	};

	// Writes the seconds of a stretch of time, microseconds, below a plot that is `wide` from `left` on: x gives the
	// place of an instant, `mark` draws what stands above a number.
	M.drawClock = (c, shown, x, { left, right, wide, y }, mark) => {
		const clock = M.ticks(shown.from / 1e6, shown.to / 1e6, Math.max(3, wide / 110));
		c.textAlign = "center";
		let written = -Infinity;
		clock.at.forEach((t) => {
			const at = x(t * 1e6),
				text = M.tick(t, clock.step) + " s",
				half = c.measureText(text).width / 2;
			if (at < left || at + half > right || at - half < written + 8) return;
			written = at + half;
			mark?.(at);
			c.fillText(text, at, y);
		});
	};

	/* ---- sections ---- */
	let sections = 0;
	// A part of the page: a heading, how to read it, what is drawn, and the numbers as a table.
	M.section = (parent, title, reading, id) => {
		const heading = M.h("h2", { id: (id || "part" + ++sections) + "-h" }, title);
		const body = M.h("div", { class: "body" });
		parent.append(
			M.h(
				"section",
				{ id, "aria-labelledby": heading.id },
				heading,
				reading && M.h("p", { class: "reading" }, reading),
				body,
			),
		);
		return body;
	};
	M.running = (deltas) => {
		let sum = 0;
		return deltas.map((delta) => (sum += delta));
	};
	M.absent = (run, part) => (run.absent || []).find((one) => one.part === part);
	return M;
})();
