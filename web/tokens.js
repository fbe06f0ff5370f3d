// Tokens against time: the least fluid request of a run, one in the middle, and the most fluid one.
(() => {
	const M = Metron,
		h = M.h;
	const NAMES = { worst: "least fluid", median: "in the middle", best: "most fluid" };
	const DASH = { worst: [], median: [7, 4], best: [2, 3] };

	const rowsOf = (curve) => {
		const number = M.running(curve.number),
			at = M.running(curve.at_us).map((us) => us / 1e6);
		return { number, at, due: curve.due_us.map((us) => us / 1e6) };
	};

	// The room that curves take, seconds and tokens: what stands side by side is drawn on one scale.
	M.tokenScale = (runs) => {
		const curves = runs.flatMap((run) => run.curves);
		return {
			most: Math.max(0, ...curves.map((curve) => M.running(curve.at_us).pop() / 1e6 || 0)),
			tall: Math.max(0, ...curves.map((curve) => curve.tokens)),
		};
	};
	M.tokens = (parent, run, place, meaning, scale) => {
		if (!run.curves.length) {
			parent.append(h("p", { class: "absent" }, M.absent(run, "curves")?.why || "No request got two tokens."));
			return;
		}
		const curves = run.curves.map((curve) => ({ ...curve, rows: rowsOf(curve) }));
		const title = "Tokens against time, " + run.label;
		const line = M.told(
			curves.some((curve) => curve.late.length)
				? "Point at a bar to read why that token was late."
				: "No token of these requests came late.",
		);
		const { most, tall } = scale || M.tokenScale([run]);
		let at, box;
		const surface = M.surface(parent, 260, title, (c, width, height) => {
			box = { left: 52, top: 24, width: width - 64, height: height - 68 };
			at = M.axes(
				c,
				box,
				{ low: 0, high: most * 1.02 || 1, name: "seconds since the request was sent" },
				{ low: 0, high: tall * 1.04 || 1, name: "tokens", whole: true },
			);
			const worst = curves[0];
			if (worst.rows.due.length) {
				c.strokeStyle = M.css("--mark");
				c.lineWidth = 1.5;
				c.setLineDash([1.5, 3]);
				c.beginPath();
				let lx = -9,
					ly = -9;
				worst.rows.due.forEach((due, k) => {
					if (due > most * 1.02) return;
					const x = at.x(due),
						y = at.y(worst.rows.number[k]);
					if (k && x - lx < 1 && ly - y < 1) return;
					if (k) c.lineTo(x, y);
					else c.moveTo(x, y);
					lx = x;
					ly = y;
				});
				c.stroke();
			}
			curves.forEach((curve) => {
				const { number, at: times } = curve.rows;
				c.strokeStyle = M.runColor(place);
				c.lineWidth = curve.place === "worst" ? 2 : 1.5;
				c.setLineDash(DASH[curve.place]);
				let lx = at.x(0),
					ly = at.y(0);
				c.beginPath();
				c.moveTo(lx, ly);
				// Steps smaller than a pixel go into the next one.
				times.forEach((t, k) => {
					const x = at.x(t),
						y = at.y(number[k]);
					if (k < times.length - 1 && x - lx < 1 && ly - y < 1) return;
					c.lineTo(x, ly);
					c.lineTo(x, y);
					lx = x;
					ly = y;
				});
				c.stroke();
				c.setLineDash([]);
				curve.late.forEach((late) => {
					const x = at.x(late.from_us / 1e6),
						y = at.y(late.number - 1),
						wide = Math.max(2, at.x(late.to_us / 1e6) - x);
					c.fillStyle = M.fill(
						c,
						late.cause ? M.causeColor(late.cause) : M.css("--mark"),
						late.cause ? M.causePattern(late.cause) : "slash",
					);
					c.fillRect(x, y - 4, wide, 8);
				});
			});
			// Names at the ends of the lines, none on another, on a ground that keeps them readable.
			const taken = [];
			curves.forEach((curve) => {
				const { number, at: times } = curve.rows,
					last = times.length - 1,
					name = NAMES[curve.place],
					wide = c.measureText(name).width;
				const x = at.x(times[last]),
					y = at.y(number[last]);
				const spots = [
					[x + 6, y + 4],
					[x - wide - 6, y - 6],
					[x + 6, y + 18],
					[x - wide - 6, y + 18],
					[x + 6, y + 32],
					[x - wide - 6, y + 32],
					[x - wide - 6, y + 46],
					// Where lines end close together, further away.
					...[-20, 60, -34, 74, -48, 88, -62].flatMap((by) => [
						[x + 6, y + by],
						[x - wide - 6, y + by],
						[width - wide - 2, y + by],
						[box.left + 2, y + by],
					]),
				];
				const free = ([left, foot]) =>
					left > box.left &&
					left + wide <= width &&
					foot > 10 &&
					foot < height - 40 &&
					!taken.some(
						(one) => left < one.right + 4 && left + wide > one.left - 4 && foot > one.foot - 14 && foot < one.foot + 14,
					);
				const [left, foot] = spots.find(free) || spots[1];
				taken.push({ name, left, right: left + wide, foot });
				c.textAlign = "left";
				c.lineWidth = 4;
				c.lineJoin = "round";
				c.strokeStyle = M.css("--card");
				c.strokeText(name, left, foot);
				c.fillStyle = M.css("--ink");
				c.fillText(name, left, foot);
			});
			surface.canvas.labels = taken;
		});
		const tell = (event) => {
			let best = null,
				least = 20 * 20;
			curves.forEach((curve) =>
				curve.late.forEach((late) => {
					const x0 = at.x(late.from_us / 1e6),
						x1 = at.x(late.to_us / 1e6),
						x = Math.min(Math.max(event.offsetX, x0), x1);
					const d = (x - event.offsetX) ** 2 + (at.y(late.number - 1) - event.offsetY) ** 2;
					if (d < least) {
						least = d;
						best = [curve, late];
					}
				}),
			);
			if (!best) {
				line.tell("");
				return;
			}
			const [curve, late] = best;
			line.tell(
				"Request " +
					curve.request +
					", token " +
					late.number +
					" came " +
					M.us(late.to_us - late.from_us) +
					" after the one before" +
					(late.cause ? ": " + M.causeWords(late.cause) + " (" + (meaning[late.cause] || "") + ")" : "") +
					".",
			);
		};
		["pointermove", "pointerdown"].forEach((kind) => surface.on(kind, tell));
		const causes = [...new Set(curves.flatMap((curve) => curve.late.map((late) => late.cause)).filter(Boolean))];
		parent.append(line);
		M.saver(
			parent,
			title,
			surface,
			() => [
				["request", "which", "token", "came s after arrival", "due s after arrival"],
				curves.flatMap((curve) => {
					const { number, at, due } = curve.rows;
					return number.map((k, row) => [curve.request, NAMES[curve.place], k, at[row], due[row]]);
				}),
			],
			() => [
				...curves.map((curve) => ({
					name: NAMES[curve.place] + ": request " + curve.request,
					color: () => M.runColor(place),
				})),
				...causes.map((cause) => ({ name: M.causeWords(cause), color: () => M.causeColor(cause) })),
			],
		);
		if (causes.length)
			parent.append(
				M.legend(
					causes.map((cause) => ({
						name: M.causeWords(cause),
						color: () => M.causeColor(cause),
						pattern: M.causePattern(cause),
					})),
				),
			);
		parent.append(
			h(
				"ul",
				{ class: "plain" },
				curves.map((curve) =>
					h(
						"li",
						{},
						M.stroke(() => M.runColor(place), DASH[curve.place], curve.place === "worst" ? 2 : 1.5),
						h("strong", {}, NAMES[curve.place]),
						": request " +
							curve.request +
							", fluidity-index " +
							M.digits(curve.index) +
							", " +
							(curve.prompt_tokens ? M.count(curve.prompt_tokens) + " prompt tokens, " : "") +
							M.count(curve.tokens) +
							" output tokens, " +
							(curve.late_count ? M.count(curve.late_count) + " of them late" : "none late"),
					),
				),
			),
		);
		parent.append(
			M.details("Late tokens", "Late tokens, " + run.label, ["request", "token", "gap", "came at", "causes"], () =>
				curves.flatMap((curve) =>
					curve.late.map((late) => [
						curve.request,
						late.number,
						M.us(late.to_us - late.from_us),
						M.us(late.to_us),
						late.causes_ns.map(([cause, ns]) => M.causeWords(cause) + " " + M.ns(ns)).join(", ") || "not known",
					]),
				),
			),
		);
	};
})();
