// What leaves a page: each plot as a picture (PNG, SVG) with its caption, its data as CSV.
(() => {
	const M = Metron,
		h = M.h;
	const SCALE = 2,
		EDGE = 12;

	/* ---- a drawing as SVG: what a canvas is told while it is drawn once more ---- */
	// uPlot keeps its lines as Path2D objects, which do not say what they are made of: these do.
	const told = new WeakMap();
	const STEPS = ["moveTo", "lineTo", "rect", "arc", "closePath", "bezierCurveTo", "quadraticCurveTo"];
	if (typeof Path2D === "function") {
		const Plain = Path2D;
		const Told = class extends Plain {
			constructor(from) {
				if (from) super(from);
				else super();
				told.set(this, from && told.has(from) ? told.get(from).slice() : []);
			}
			addPath(path, ...more) {
				super.addPath(path, ...more);
				told.get(this).push(...(told.get(path) || []));
			}
		};
		STEPS.forEach((name) => {
			Told.prototype[name] = function (...numbers) {
				Plain.prototype[name].apply(this, numbers);
				told.get(this).push([name, ...numbers]);
			};
		});
		window.Path2D = /** @type {any} */ (Told);
	}
	const n = (value) => String(Math.round(value * 100) / 100);
	const escaped = (text) =>
		String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
	const shape = (steps) =>
		steps
			.map(([name, ...of], place) => {
				// A canvas begins a path wherever its first line leads.
				if (name === "moveTo" || (place === 0 && name === "lineTo")) return "M" + of.map(n).join(" ");
				if (name === "lineTo") return "L" + of.map(n).join(" ");
				if (name === "closePath") return "Z";
				if (name === "bezierCurveTo") return "C" + of.map(n).join(" ");
				if (name === "quadraticCurveTo") return "Q" + of.map(n).join(" ");
				if (name === "rect") {
					const [x, y, w, t] = of;
					return "M" + n(x) + " " + n(y) + "h" + n(w) + "v" + n(t) + "h" + n(-w) + "Z";
				}
				const [x, y, r, from, to] = of;
				if (Math.abs(to - from) >= 6.28)
					return (
						"M" +
						[n(x - r), n(y)].join(" ") +
						["", ""].map((_, k) => "a" + [r, r, 0, 1, 0, k ? -2 * r : 2 * r, 0].map(n).join(" ")).join("") +
						"Z"
					);
				const at = (angle) => n(x + r * Math.cos(angle)) + " " + n(y + r * Math.sin(angle));
				return "M" + at(from) + "A" + [r, r, 0, to - from > Math.PI ? 1 : 0, 1].map(n).join(" ") + " " + at(to);
			})
			.join("");

	// Listens to a context until `end`, which gives the elements that draw the same.
	const listen = (c) => {
		const out = [],
			defs = new Map();
		let path = [],
			clips = [],
			saved = [],
			clipCount = 0;
		const own = {};
		const wrap = (name, act) => {
			const plain = c[name];
			own[name] = true;
			c[name] = (...of) => {
				act(...of);
				return plain.apply(c, of);
			};
		};
		const matrix = () => {
			const { a, b, c: cc, d, e, f } = c.getTransform();
			return a === 1 && b === 0 && cc === 0 && d === 1 && e === 0 && f === 0
				? ""
				: ' transform="matrix(' + [a, b, cc, d, e, f].map(n).join(" ") + ')"';
		};
		const paint = (style) => {
			if (typeof style === "string") return style;
			const pattern = M.patternOf(style);
			if (!pattern) return "#888";
			const id = "p" + [...pattern].map((s) => s.replace(/[^\w]/g, "")).join("-");
			if (!defs.has(id)) defs.set(id, patternDef(id, pattern));
			return "url(#" + id + ")";
		};
		const wrapped = (element) => {
			const alpha = c.globalAlpha < 1 ? ' opacity="' + n(c.globalAlpha) + '"' : "";
			const inside = alpha ? "<g" + alpha + ">" + element + "</g>" : element;
			out.push(clips.reduceRight((all, id) => '<g clip-path="url(#' + id + ')">' + all + "</g>", inside));
		};
		const strokes = () => {
			const dash = c.getLineDash();
			return (
				' fill="none" stroke="' +
				paint(c.strokeStyle) +
				'" stroke-width="' +
				n(c.lineWidth) +
				'" stroke-linejoin="' +
				c.lineJoin +
				'" stroke-linecap="' +
				c.lineCap +
				'"' +
				(dash.length
					? ' stroke-dasharray="' + dash.map(n).join(" ") + '" stroke-dashoffset="' + n(c.lineDashOffset) + '"'
					: "")
			);
		};
		const drawn = (steps, how) => {
			const d = shape(steps);
			if (d) wrapped('<path d="' + d + '"' + matrix() + how() + "/>");
		};
		const fills = () => ' fill="' + paint(c.fillStyle) + '"';
		const box = (x, y, w, t) => [["rect", x, y, w, t]];
		STEPS.forEach((name) => wrap(name, (...of) => path.push([name, ...of])));
		wrap("beginPath", () => {
			path = [];
		});
		wrap("save", () => saved.push(clips));
		wrap("restore", () => {
			clips = saved.pop() || [];
		});
		wrap("clip", (given) => {
			const id = "c" + ++clipCount;
			const steps = given instanceof Path2D ? told.get(given) || [] : path;
			defs.set(id, '<clipPath id="' + id + '"><path d="' + shape(steps) + '"' + matrix() + "/></clipPath>");
			clips = [...clips, id];
		});
		wrap("fill", (given) => drawn(given instanceof Path2D ? told.get(given) || [] : path, fills));
		wrap("stroke", (given) => drawn(given instanceof Path2D ? told.get(given) || [] : path, strokes));
		wrap("fillRect", (...of) => drawn(box(of[0], of[1], of[2], of[3]), fills));
		wrap("strokeRect", (...of) => drawn(box(of[0], of[1], of[2], of[3]), strokes));
		const text = (how) => (words, x, y) => {
			const anchor = { left: "start", start: "start", center: "middle", right: "end", end: "end" }[c.textAlign];
			const base =
				{ top: "text-before-edge", middle: "central", bottom: "text-after-edge" }[c.textBaseline] || "alphabetic";
			wrapped(
				"<text" +
					matrix() +
					' x="' +
					n(x) +
					'" y="' +
					n(y) +
					'" text-anchor="' +
					anchor +
					'" dominant-baseline="' +
					base +
					'" style="font:' +
					escaped(c.font) +
					'"' +
					how() +
					">" +
					escaped(words) +
					"</text>",
			);
		};
		wrap("fillText", text(fills));
		wrap("strokeText", text(strokes));
		return () => {
			Object.keys(own).forEach((name) => {
				delete c[name];
			});
			return { defs: [...defs.values()].join(""), body: out.join("\n") };
		};
	};
	const patternDef = (id, [color, kind, ink]) => {
		const line = (d) => '<path d="' + d + '" stroke="' + ink + '" stroke-width="1.5" fill="none"/>';
		const marks = {
			slash: line("M-1 9L9 -1M-5 5L5 -5M3 13L13 3"),
			back: line("M-1 -1L9 9M3 -5L13 5M-5 3L5 13"),
			cross: line("M-1 9L9 -1M-1 -1L9 9"),
			dots: '<path d="M1 1h2v2h-2ZM5 5h2v2h-2Z" fill="' + ink + '"/>',
			level: line("M0 2H8M0 6H8"),
		}[kind];
		return (
			'<pattern id="' +
			id +
			'" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="' +
			color +
			'"/>' +
			(marks || "") +
			"</pattern>"
		);
	};

	/* ---- a figure: title, plot, key, caption ---- */
	const lay = (title, key, caption, width) => {
		const c = document.createElement("canvas").getContext("2d");
		const broken = (text, font) => {
			c.font = font;
			const lines = [];
			let line = "";
			String(text)
				.split(/\s+/)
				.forEach((word) => {
					const longer = line ? line + " " + word : word;
					if (line && c.measureText(longer).width > width) {
						lines.push(line);
						line = word;
					} else line = longer;
				});
			if (line) lines.push(line);
			return lines;
		};
		const TITLE = "600 15px system-ui, sans-serif",
			SMALL = "12px system-ui, sans-serif";
		const parts = [];
		let y = EDGE;
		broken(title, TITLE).forEach((text) => {
			y += 18;
			parts.push({ text, x: EDGE, y, font: TITLE, ink: "--ink" });
		});
		y += 8;
		const plot = y;
		const under = [];
		let x = EDGE,
			row = 0;
		c.font = SMALL;
		key.forEach(({ name, color }) => {
			const wide = 16 + c.measureText(name).width + 14;
			if (x > EDGE && x + wide > width + EDGE) {
				x = EDGE;
				row++;
			}
			under.push({ text: name, x: x + 16, y: 16 + row * 18, font: SMALL, ink: "--ink", box: color });
			x += wide;
		});
		let foot = key.length ? 16 + row * 18 + 8 : 0;
		broken(caption, SMALL).forEach((text) => {
			foot += 16;
			under.push({ text, x: EDGE, y: foot, font: SMALL, ink: "--faint" });
		});
		return { parts, plot, under, foot: foot + EDGE };
	};
	// Draws a figure's words on a context, or gives them as elements.
	const words = ({ parts, plot, under }, tall) =>
		[...parts, ...under.map((one) => ({ ...one, y: one.y + plot + tall }))].map((one) => ({
			...one,
			color: M.css(one.ink),
			box: one.box?.(),
		}));

	const picture = async (target, { title, key, caption }) => {
		const { canvas, width, height } = target();
		const layout = lay(title, key(), caption(), width),
			tall = layout.plot + height + layout.foot;
		const sheet = document.createElement("canvas");
		sheet.width = (width + 2 * EDGE) * SCALE;
		sheet.height = tall * SCALE;
		const c = sheet.getContext("2d");
		c.scale(SCALE, SCALE);
		c.fillStyle = M.css("--card");
		c.fillRect(0, 0, width + 2 * EDGE, tall);
		c.drawImage(canvas, EDGE, layout.plot, width, height);
		words(layout, height).forEach((one) => {
			if (one.box) {
				c.fillStyle = one.box;
				c.fillRect(one.x - 16, one.y - 9, 11, 11);
			}
			c.font = one.font;
			c.fillStyle = one.color;
			c.fillText(one.text, one.x, one.y);
		});
		return new Promise((done) => sheet.toBlob(done, "image/png"));
	};
	const drawing = async (target, { title, key, caption }) => {
		const { canvas, width, height, redraw } = target();
		const end = listen(canvas.getContext("2d"));
		let found;
		try {
			await redraw();
		} finally {
			found = end();
		}
		const ratio = canvas.width / width;
		const layout = lay(title, key(), caption(), width),
			tall = layout.plot + height + layout.foot;
		const texts = words(layout, height)
			.map(
				(one) =>
					(one.box
						? '<rect x="' + n(one.x - 16) + '" y="' + n(one.y - 9) + '" width="11" height="11" fill="' + one.box + '"/>'
						: "") +
					'<text x="' +
					n(one.x) +
					'" y="' +
					n(one.y) +
					'" style="font:' +
					one.font +
					'" fill="' +
					one.color +
					'">' +
					escaped(one.text) +
					"</text>",
			)
			.join("\n");
		const size = 'width="' + n(width + 2 * EDGE) + '" height="' + n(tall) + '"';
		return (
			'<svg xmlns="http:' +
			'//www.w3.org/2000/svg" ' +
			size +
			' viewBox="0 0 ' +
			n(width + 2 * EDGE) +
			" " +
			n(tall) +
			'" role="img"><title>' +
			escaped(title) +
			"</title><desc>" +
			escaped(caption()) +
			"</desc><defs>" +
			found.defs +
			"</defs><rect " +
			size +
			' fill="' +
			M.css("--card") +
			'"/>\n<g transform="translate(' +
			EDGE +
			" " +
			n(layout.plot) +
			") scale(" +
			n(1 / ratio) +
			')">\n' +
			found.body +
			"\n</g>\n" +
			texts +
			"</svg>\n"
		);
	};

	/* ---- CSV (RFC 4180) ---- */
	const cell = (value) => {
		if (value == null) return "";
		// A spreadsheet takes what begins so for a formula.
		const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? "'" + value : String(value);
		return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
	};
	M.csv = (head, rows) => [head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";

	M.save = (name, blob) => {
		const address = URL.createObjectURL(blob);
		h("a", { href: address, download: name }).click();
		// A browser that is busy, or asks where to, reads it later.
		setTimeout(() => URL.revokeObjectURL(address), 60000);
	};
	const named = (title) =>
		title
			.toLowerCase()
			.replace(/[^a-z0-9]+/g, "-")
			.replace(/^-|-$/g, "")
			.slice(0, 60) || "figure";

	// What was run, under which load, and by what: of the lines that say what was looked at, these.
	M.caption = (title, setup, tool) => {
		const told = setup
			.map((line) => line.replace(/\s+/g, " ").trim())
			.filter((line) => /^(system|workload): /.test(line))
			.map((line) => line.slice(line.indexOf(" ") + 1));
		return [title, ...told, "Made by " + tool.name + " " + tool.version].join(". ") + ".";
	};
	// What a caption says beside the title; a page sets it.
	M.figureOf = () => document.title;
	M.runsKey = () => [];
	/* Buttons below a plot. plot: a surface, or a uPlot; data: its columns and rows, worked out when they are
	   asked for. */
	M.saver = (parent, title, plot, data, key) => {
		const target = () =>
			plot.root
				? {
						canvas: plot.ctx.canvas,
						width: plot.width,
						height: plot.height,
						redraw: async () => {
							plot.redraw(true, false);
							await new Promise((done) => setTimeout(done, 0));
						},
					}
				: { canvas: plot.canvas, width: plot.width, height: plot.height, redraw: async () => plot.drawNow() };
		const about = { title, key: key || M.runsKey, caption: M.figureOf };
		const said = h("span", { role: "status" });
		const say = (text) => {
			said.textContent = text;
		};
		const ready = () => {
			if (!plot.root && !plot.width) plot.drawNow();
		};
		const button = (text, what, act) =>
			h(
				"button",
				{
					type: "button",
					"aria-label": what + ": " + title,
					onclick: async () => {
						try {
							ready();
							say((await act()) || "");
						} catch (error) {
							say("That did not work: " + error.message);
						}
					},
				},
				text,
			);
		const file = named(title);
		const details = h(
			"details",
			{ class: "save" },
			h("summary", {}, "Save"),
			h(
				"div",
				{ class: "controls" },
				button("PNG", "Save as PNG", async () => M.save(file + ".png", await picture(target, about))),
				button("SVG", "Save as SVG", async () =>
					M.save(file + ".svg", new Blob([await drawing(target, about)], { type: "image/svg+xml" })),
				),
				data &&
					button("CSV", "Save the data as CSV", async () => {
						const [head, rows] = data();
						M.save(file + ".csv", new Blob([M.csv(head, rows)], { type: "text/csv" }));
					}),
				typeof ClipboardItem === "function" &&
					navigator.clipboard?.write &&
					button("Copy", "Copy the figure", async () => {
						await navigator.clipboard.write([new ClipboardItem({ "image/png": picture(target, about) })]);
						return "Copied.";
					}),
				said,
			),
		);
		parent.append(details);
		return details;
	};
	M.drawing = drawing;
})();
