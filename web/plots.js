// Curves (uPlot), stacked bars and clouds of points.
(() => {
	const M = Metron,
		h = M.h;

	const axis = (extra) => ({
		stroke: () => M.css("--ink"),
		font: "12px system-ui, sans-serif",
		labelFont: "12px system-ui, sans-serif",
		grid: { stroke: () => M.css("--grid"), width: 1 },
		ticks: { stroke: () => M.css("--grid"), width: 1 },
		...extra,
	});

	// Vertical lines with what they mean, as a uPlot plugin. The words stand above the plot, a row each,
	// so that they cover nothing; a line beyond the plot's ends leaves only its words, with an arrow.
	const ROW = 15;
	const headroom = (rows) => [8 + ROW * rows, 26, null, null];
	const marks = (lines, across) => ({
		hooks: {
			draw: (u) => {
				const c = u.ctx,
					ratio = uPlot.pxRatio;
				c.save();
				c.font = 11 * ratio + "px system-ui, sans-serif";
				c.textBaseline = "alphabetic";
				c.textAlign = "left";
				c.lineJoin = "round";
				c.strokeStyle = c.fillStyle = M.css("--mark");
				c.setLineDash([5 * ratio, 3 * ratio]);
				c.lineWidth = 1.5 * ratio;
				const { left, top, width, height } = u.bbox;
				const drawn = [];
				lines.forEach((line, place) => {
					const x = Math.round(u.valToPos(line.value, "x", true)),
						y = top - (5 + ROW * (lines.length - 1 - place)) * ratio;
					const before = x < left,
						beyond = !(x <= left + width);
					if (!before && !beyond) {
						c.beginPath();
						c.moveTo(x, y + 4 * ratio);
						c.lineTo(x, top + height);
						c.stroke();
					}
					const text = before ? "\u2190 " + line.label : beyond ? line.label + " \u2192" : line.label;
					const wide = c.measureText(text).width;
					const at = Math.max(
						left,
						Math.min(left + width - wide, (before ? left : beyond ? left + width : x) - wide / 2),
					);
					drawn.push({
						text,
						at,
						y,
						left: at / ratio,
						right: (at + wide) / ratio,
						top: y / ratio - 11,
						bottom: y / ratio,
					});
				});
				c.save();
				c.setLineDash([]);
				c.lineWidth = 4 * ratio;
				c.strokeStyle = M.css("--card");
				drawn.forEach(({ text, at, y }) => {
					c.strokeText(text, at, y);
					c.fillText(text, at, y);
				});
				c.restore();
				// For tests: where the words are, and the plot.
				u.root.parentElement.labels = {
					drawn,
					plot: { left: left / ratio, right: (left + width) / ratio, top: top / ratio },
				};
				if (across != null) {
					const y = u.valToPos(across, "y", true);
					if (y >= top && y <= top + height) {
						c.beginPath();
						c.moveTo(left, y);
						c.lineTo(left + width, y);
						c.stroke();
					}
				}
				c.restore();
			},
		},
	});

	let plots = [];
	M.forgetPlots = () => {
		plots = plots.filter((one) => one.box.isConnected || one.u.destroy());
	};
	let resized = false;
	const refit = () => {
		resized = false;
		plots.forEach(({ u, box, height }) => {
			const width = box.clientWidth;
			if (width && width !== u.width) u.setSize({ width, height });
		});
	};
	// A plot that is drawn out of sight has no width until it is shown.
	const sized =
		window.ResizeObserver &&
		new ResizeObserver(() => {
			if (!resized) {
				resized = true;
				requestAnimationFrame(refit);
			}
		});
	M.onRedraw(() =>
		plots.forEach(({ u, box, height }) => {
			u.setSize({ width: box.clientWidth || u.width, height });
			u.redraw(false, true);
		}),
	);

	// Draws a uPlot into a box that names itself to screen readers.
	M.uplot = (parent, label, height, options, data, width) => {
		const box = h("div", { class: "plot", role: "img", "aria-label": label });
		parent.append(box);
		// It makes its canvas itself, of one that is spare where there is one.
		const make = document.createElement;
		document.createElement = (tag) => (tag === "canvas" && M.spareCanvas()) || make.call(document, tag);
		let u;
		try {
			u = new uPlot({ width: width || box.clientWidth || 320, height, ...options }, data, box);
		} finally {
			delete document.createElement;
		}
		plots.push({ u, box, height });
		if (sized) sized.observe(box);
		return u;
	};

	// Of a logarithmic axis 1, 2, 5, 10, ..., or fewer where room is short.
	const logTicks = (u, splits) => {
		const [low, high] = [u.scales.x.min, u.scales.x.max],
			decades = Math.log10(high / low);
		const wanted = u.bbox.width / uPlot.pxRatio / decades > 190 ? /^[125](\.0*)?e/ : /^1(\.0*)?e/;
		const written = (v) => v.toExponential(6),
			fits = (v, of) => v >= low && v <= high && of.test(written(v));
		const of = splits.filter((v) => fits(v, wanted)).length > 1 ? wanted : /^[125](\.0*)?e/;
		return splits.map((v) => (fits(v, of) ? v : null));
	};

	// Where a logarithmic axis may begin: uPlot 1.6 looks for marks without end where it begins just below
	// a power of ten, at 9.5 of the one before or more.
	const footOf = (low) => Math.min(low, 9.4 * 10 ** Math.floor(Math.log10(low)));

	// Distributions of several runs in one plot. curves: [{label, place, value, share}].
	M.cdf = (parent, { title, unit, curves, lines, rows, tail, log: wide, across, width }) => {
		const shown = curves.filter((curve) => curve.value?.length);
		lines = lines || [];
		// Close values are told apart better on a plain axis, and one of powers would have no marks.
		const positive = shown.flatMap((curve) => curve.value.filter((v) => v > 0));
		const log = wide && Math.max(...positive) > 5 * Math.min(...positive);
		const floor = log ? Math.max(1e-6, Math.min(...shown.flatMap((curve) => curve.value.filter((v) => v > 0)))) : null;
		// Stretched: each further nine takes the same room, as far as there are samples to tell of it.
		const most = Math.max(...shown.map((curve) => curve.count || curve.value.length));
		// Among very many the lower half is too low to have two marks.
		const NINES = [0, ...(most < 10000 ? [0.5] : []), 0.9, 0.99, 0.999, 0.9999, 0.99999];
		const high = (share) => -Math.log10(Math.max(1 - share, 0.5 / most));
		const placed = tail ? high : (share) => share;
		// A curve begins at the foot of its first step.
		const tables = shown.map((curve) => {
			const x = curve.value.map((v) => (log ? Math.max(v, floor) : v)),
				y = curve.share.map(placed);
			const merged = [[x[0] - (Math.abs(x[0]) || 1) * 1e-9], [0]];
			x.forEach((v, k) => {
				if (merged[0][merged[0].length - 1] === v) merged[1][merged[1].length - 1] = y[k];
				else {
					merged[0].push(v);
					merged[1].push(y[k]);
				}
			});
			return merged;
		});
		const data = uPlot.join(tables);
		// All of the data, and the promise where it is near.
		const reach = (_u, low, high) => {
			if (low == null) return [log ? 1e-3 : 0, 1];
			const near = (lines || []).map((line) => line.value).filter((v) => v > low / 3 && v < high * 3);
			const [a, b] = [Math.min(low, ...near), Math.max(high, ...near)];
			const room = (b - a || Math.abs(b) * 0.1 || 0.1) * 0.04;
			if (unit === "index") return [Math.max(0, Math.min(0.9, a) - 0.02), Math.max(1, b) + 0.01];
			return log
				? [footOf(a / 1.12), b * 1.12]
				: [a >= 0 && a < 0.3 * b ? 0 : Math.max(a >= 0 ? 0 : -Infinity, a - room), b + room];
		};
		const show = unit === "s" ? M.seconds : (v) => (v == null ? "-" : M.digits(v));
		const u = M.uplot(
			parent,
			title,
			215 + ROW * (rows || lines.length),
			{
				cursor: { drag: { x: false, y: false }, points: { size: 7 } },
				legend: { show: false },
				padding: headroom(rows || lines.length),
				scales: { x: { time: false, distr: log ? 3 : 1, range: reach }, y: { range: [0, placed(1)] } },
				axes: [
					axis({
						values: (_u, splits, _a, _b, step) =>
							splits.map((v) =>
								v == null
									? ""
									: unit === "s"
										? M.seconds(v)
												.replace(/\.0+(?= )/, "")
												.replace(/(\.\d*[1-9])0+(?= )/, "$1")
										: M.tick(v, step || 0.1),
							),
						filter: log ? logTicks : undefined,
						space: log ? 46 : 66,
					}),
					tail
						? axis({
								splits: () => NINES.map(high).filter((_, k) => NINES[k] === 0 || 1 - NINES[k] >= 1 / most),
								values: (_u, splits) => splits.map((_v, k) => Number((NINES[k] * 100).toFixed(3)) + " %"),
								size: 72,
							})
						: axis({ values: (_u, splits) => splits.map((v) => Math.round(v * 100) + " %"), size: 52 }),
				],
				series: [
					{},
					...shown.map((curve) => ({
						label: curve.label,
						stroke: () => M.runColor(curve.place),
						width: 2,
						dash: M.runDash(curve.place),
						paths: uPlot.paths.stepped({ align: 1 }),
						spanGaps: true,
						points: { show: false },
					})),
				],
				plugins: [
					marks(lines, across == null ? null : placed(across)),
					M.readout((u, at) => {
						if (at == null) return "";
						const x = u.data[0][at];
						return (
							"At " +
							show(x) +
							": " +
							shown
								.map((curve) => {
									let share = 0;
									for (let k = 0; k < curve.value.length && curve.value[k] <= x * (1 + 1e-12); k++)
										share = curve.share[k];
									return curve.label + " " + M.percent(share);
								})
								.join(", ")
						);
					}),
				],
			},
			data,
			width,
		);
		M.saver(parent, title, u, () => [
			["run", unit === "s" ? "seconds" : "value", "share up to it"],
			shown.flatMap((curve) => curve.value.map((value, k) => [curve.label, value, curve.share[k]])),
		]);
		parent.append(
			M.details("Numbers", title, ["", "samples", "least", "P50", "P90", "P99", "P99.9", "most"], () =>
				shown.map((curve) => [
					curve.label,
					M.count(curve.count),
					...[0, 0.5, 0.9, 0.99, 0.999, 1].map((share) => show(M.quantile(curve, share))),
				]),
			),
		);
	};

	// A line below a plot that says what the cursor is on.
	M.readout = (text) => {
		const line = M.told("Point at the plot, or touch it, to read values.");
		return {
			hooks: {
				ready: (u) => u.root.parentElement.after(line),
				setCursor: (u) => line.tell(text(u, u.cursor.idx)),
			},
		};
	};

	M.missRate = (parent, runs, promise) => {
		const shown = runs.map((run, place) => ({ ...run, place })).filter((run) => run.miss_rate);
		const data = uPlot.join(shown.map((run) => [run.miss_rate.map((p) => p[0]), run.miss_rate.map((p) => p[1])]));
		const title = "Miss rate of the worst hundredth of requests, by TBT target";
		const u = M.uplot(
			parent,
			title,
			215 + ROW * promise.length,
			{
				cursor: { drag: { x: false, y: false } },
				legend: { show: false },
				padding: headroom(promise.length),
				scales: { x: { time: false }, y: { range: (_u, _low, high) => [0, Math.max(0.1, Math.min(1, high * 1.05))] } },
				axes: [
					axis({ values: (_u, splits) => splits.map((v) => v + " ms") }),
					axis({ values: (_u, splits) => splits.map((v) => Math.round(v * 100) + " %"), size: 52 }),
				],
				series: [
					{},
					...shown.map((run) => ({
						label: run.label,
						stroke: () => M.runColor(run.place),
						width: 2,
						dash: M.runDash(run.place),
						spanGaps: true,
						points: { show: false },
					})),
				],
				plugins: [
					marks(promise),
					M.readout((u, at) =>
						at == null
							? ""
							: "Target " +
								u.data[0][at] +
								" ms: " +
								shown.map((run, k) => run.label + " " + M.percent(u.data[k + 1][at])).join(", "),
					),
				],
			},
			data,
		);
		M.saver(parent, title, u, () => [
			["run", "TBT target ms", "miss rate P99"],
			shown.flatMap((run) => run.miss_rate.map(([target, rate]) => [run.label, target, rate])),
		]);
		parent.append(
			M.details("Numbers", title, ["", ...[10, 25, 50, 75, 100].map((ms) => ms + " ms")], () =>
				shown.map((run) => [
					run.label,
					...[10, 25, 50, 75, 100].map((ms) => {
						const p = run.miss_rate.find((one) => one[0] === ms);
						return p ? M.percent(p[1]) : "-";
					}),
				]),
			),
		);
	};

	/* ---- own canvases ---- */
	// Axes of a canvas; returns where things go.
	M.axes = (c, box, x, y) => {
		const at = {
			x: (v) =>
				box.left +
				((x.log ? Math.log(v / x.low) / Math.log(x.high / x.low) : (v - x.low) / (x.high - x.low)) || 0) * box.width,
			y: (v) => box.top + box.height - ((v - y.low) / (y.high - y.low) || 0) * box.height,
		};
		c.strokeStyle = M.css("--grid");
		c.fillStyle = M.css("--ink");
		c.lineWidth = 1;
		const across = M.ticks(y.low, y.high, Math.max(2, box.height / 45), y.whole);
		c.textAlign = "right";
		across.at.forEach((v) => {
			c.beginPath();
			c.moveTo(box.left, at.y(v));
			c.lineTo(box.left + box.width, at.y(v));
			c.stroke();
			c.fillText(y.show ? y.show(v, across.step) : M.tick(v, across.step), box.left - 6, at.y(v) + 4);
		});
		const along = M.ticks(x.low, x.high, Math.max(3, box.width / 90), x.whole);
		c.textAlign = "center";
		along.at.forEach((v) => {
			c.beginPath();
			c.moveTo(at.x(v), box.top + box.height);
			c.lineTo(at.x(v), box.top + box.height + 4);
			c.stroke();
			const text = x.show ? x.show(v, along.step) : M.tick(v, along.step),
				half = c.measureText(text).width / 2;
			c.fillText(text, Math.min(at.x(v), box.left + box.width + 8 - half), box.top + box.height + 17);
		});
		if (x.name) c.fillText(x.name, box.left + box.width / 2, box.top + box.height + 34);
		if (y.name) {
			c.textAlign = "left";
			c.fillText(y.name, 2, box.top - 8);
		}
		return at;
	};

	// Lateness by cause over time, stacked; most: the tallest column of all runs drawn beside it.
	M.lateness = (parent, run, most, meaning) => {
		const late = run.lateness,
			parts = late.seconds[0].length;
		const title = "Lateness by cause over time, " + run.label;
		const line = M.told("Point at a column to read it.");
		let box, at;
		const sums = Array.from({ length: parts }, (_, k) => late.seconds.reduce((sum, of) => sum + of[k], 0));
		const surface = M.surface(parent, 200, title, (c, width, height) => {
			box = { left: 56, top: 24, width: width - 66, height: height - 50 };
			at = M.axes(
				c,
				box,
				{ low: late.from_s, high: late.from_s + late.part_s * parts, show: (v, step) => M.tick(v, step) + " s" },
				{ low: 0, high: most || 1, name: "seconds late in each " + M.seconds(late.part_s) + ", all requests together" },
			);
			const room = Math.max(1, box.width / parts - (box.width / parts > 4 ? 1 : 0));
			for (let k = 0; k < parts; k++) {
				let foot = 0;
				late.seconds.forEach((of, cause) => {
					if (!of[k]) return;
					const top = at.y(foot + of[k]),
						low = at.y(foot);
					c.fillStyle = M.fill(c, M.causeColor(late.causes[cause]), M.causePattern(late.causes[cause]));
					c.fillRect(box.left + (box.width * k) / parts, top, room, Math.max(0.5, low - top));
					foot += of[k];
				});
			}
			const whole = late.part_s * parts;
			M.drawCursor(
				c,
				(t) => {
					const share = (t / 1e6 - late.from_s) / whole;
					return share >= 0 && share <= 1 ? box.left + share * box.width : null;
				},
				box.top,
				box.top + box.height,
			);
		});
		M.cursor.follow(() => surface.draw(), surface.ended.signal);
		const tell = (event) => {
			const k = Math.floor(((event.offsetX - box.left) / box.width) * parts);
			if (!(k >= 0 && k < parts)) {
				line.tell("");
				M.cursor.point(null, surface);
				return;
			}
			M.cursor.point((late.from_s + (late.part_s * parts * (event.offsetX - box.left)) / box.width) * 1e6, surface);
			const told = late.causes
				.map((cause, n) => [late.seconds[n][k], cause])
				.filter((p) => p[0] > 0)
				.sort((a, b) => b[0] - a[0])
				.slice(0, 4);
			line.textContent =
				"Around " +
				M.seconds(late.from_s + late.part_s * (k + 0.5)) +
				": " +
				M.seconds(sums[k]) +
				" late" +
				(told.length ? ": " + told.map((p) => M.causeWords(p[1]) + " " + M.seconds(p[0])).join(", ") : "");
		};
		["pointermove", "pointerdown"].forEach((kind) => surface.on(kind, tell));
		surface.on("pointerleave", () => M.cursor.point(null, surface));
		M.saver(
			parent,
			title,
			surface,
			() => [
				["from s", "to s", ...late.causes.map((cause) => M.causeWords(cause) + " s")],
				Array.from({ length: parts }, (_, k) => [
					late.from_s + late.part_s * k,
					late.from_s + late.part_s * (k + 1),
					...late.seconds.map((of) => of[k]),
				]),
			],
			() => late.causes.slice(0, 8).map((cause) => ({ name: M.causeWords(cause), color: () => M.causeColor(cause) })),
		);
		parent.append(
			line,
			M.legend(
				late.causes.slice(0, 8).map((cause) => ({
					name: M.causeWords(cause),
					color: () => M.causeColor(cause),
					pattern: M.causePattern(cause),
				})),
			),
		);
		const total = sums.reduce((a, b) => a + b, 0);
		parent.append(
			M.details("Numbers", title, ["cause", "late in all", "share", "what it means"], () =>
				late.causes.map((cause, n) => {
					const own = late.seconds[n].reduce((a, b) => a + b, 0);
					return [M.causeWords(cause), M.seconds(own), M.percent(own / total), meaning[cause] || ""];
				}),
			),
		);
	};

	// A cloud of points: hover, or focus and walk with the arrow keys.
	// points: [{x, y, color(), shape, label}].
	M.scatter = (parent, { title, points, x, y, lines, path, height, key }) => {
		const line = M.told("Point at a mark, or focus the plot and press an arrow key, to read it.");
		line.setAttribute("aria-live", "polite");
		let at,
			box,
			lit = -1;
		const spread = (values) => {
			const low = Math.min(...values),
				high = Math.max(...values),
				room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
			return { low: low >= 0 ? Math.max(0, low - room) : low - room, high: high + room };
		};
		const scaleX = { ...spread(points.map((p) => p.x)), ...x },
			scaleY = { ...spread(points.map((p) => p.y)), ...y };
		// Where the marks stand: at their figures, whatever else is there. One that lies under others is
		// drawn larger than they are, so that its rim shows; among very many there is no room for that.
		const CLOSE = 3,
			LARGEST = 16.5;
		let placed = [],
			sizes = [];
		const place = () => {
			placed = points.map((p) => [at.x(p.x), at.y(p.y)]);
			sizes = placed.map(() => 4.5);
			if (placed.length > 300) return;
			for (let k = placed.length - 2; k >= 0; k--) {
				const [px, py] = placed[k],
					above = sizes.filter((_, j) => j > k && Math.hypot(placed[j][0] - px, placed[j][1] - py) < CLOSE);
				if (above.length) sizes[k] = Math.min(LARGEST, Math.max(...above) + 3);
			}
		};
		const mark = (c, p, size, [px, py]) => {
			c.beginPath();
			if (p.shape === "cross") {
				c.moveTo(px - size, py - size);
				c.lineTo(px + size, py + size);
				c.moveTo(px + size, py - size);
				c.lineTo(px - size, py + size);
				c.lineWidth = 2;
				c.stroke();
			} else {
				if (p.shape === 1) c.rect(px - size * 0.9, py - size * 0.9, size * 1.8, size * 1.8);
				else if (p.shape === 2) {
					c.moveTo(px, py - size * 1.2);
					c.lineTo(px + size * 1.1, py + size * 0.8);
					c.lineTo(px - size * 1.1, py + size * 0.8);
					c.closePath();
				} else if (p.shape === 3) {
					c.moveTo(px, py - size * 1.2);
					c.lineTo(px + size * 1.2, py);
					c.lineTo(px, py + size * 1.2);
					c.lineTo(px - size * 1.2, py);
					c.closePath();
				} else c.arc(px, py, size, 0, 7);
				if (p.faint) {
					c.lineWidth = 1.5;
					c.stroke();
				} else c.fill();
			}
		};
		// Words of vertical lines stand above the plot, a row each.
		const named = (lines || []).filter((one) => one.label && one.x != null),
			over = 15 * named.length;
		const foot = (one) => box.top - 22 - 15 * (named.length - 1 - named.indexOf(one));
		const surface = M.surface(parent, (height || 300) + over, title, (c, width, tall) => {
			box = { left: 62, top: 26 + over, width: width - 76, height: tall - 70 - over };
			at = M.axes(c, box, scaleX, scaleY);
			c.save();
			c.strokeStyle = c.fillStyle = M.css("--mark");
			c.setLineDash([5, 3]);
			c.textAlign = "left";
			(lines || []).forEach((one) => {
				c.beginPath();
				if (one.y != null) {
					c.moveTo(box.left, at.y(one.y));
					c.lineTo(box.left + box.width, at.y(one.y));
				} else {
					c.moveTo(at.x(one.x), one.label ? foot(one) + 3 : box.top);
					c.lineTo(at.x(one.x), box.top + box.height);
				}
				c.strokeStyle = one.color ? one.color() : M.css("--mark");
				c.stroke();
			});
			// Words after all lines, on a ground that keeps them readable.
			c.setLineDash([]);
			c.lineWidth = 4;
			c.lineJoin = "round";
			(lines || [])
				.filter((one) => one.label)
				.forEach((one) => {
					const [left, y] =
						one.y != null
							? [box.left + box.width - c.measureText(one.label).width - 4, at.y(one.y) - 5]
							: [Math.min(at.x(one.x) - 4, width - c.measureText(one.label).width), foot(one)];
					c.strokeStyle = M.css("--card");
					c.strokeText(one.label, left, y);
					c.fillStyle = one.color ? one.color() : M.css("--mark");
					c.fillText(one.label, left, y);
				});
			c.restore();
			if (path && path.length > 1) {
				c.strokeStyle = M.css("--ink");
				c.lineWidth = 1.5;
				c.beginPath();
				path.forEach((p, k) => (k ? c.lineTo(at.x(p.x), at.y(p.y)) : c.moveTo(at.x(p.x), at.y(p.y))));
				c.stroke();
			}
			place();
			points.forEach((p, k) => {
				c.fillStyle = c.strokeStyle = p.color();
				mark(c, p, sizes[k], placed[k]);
				// A rim shows where one lies on another.
				if (p.shape === "cross" || p.faint) return;
				c.strokeStyle = M.css("--card");
				c.lineWidth = 1;
				c.stroke();
			});
			Object.assign(surface.canvas, { placed, sizes });
			if (lit >= 0) {
				c.fillStyle = c.strokeStyle = M.css("--ink");
				mark(c, { ...points[lit], faint: false }, 7, placed[lit]);
			}
		});
		const light = (place) => {
			if (place === lit) return;
			lit = place;
			const here = place < 0 ? [] : points.filter((p) => p.x === points[place].x && p.y === points[place].y);
			const more = here.length - 1;
			line.tell(
				place < 0
					? ""
					: points[place].label +
							(more ? "; " + more + (more === 1 ? " more mark" : " more marks") + " at this place" : ""),
			);
			surface.draw();
		};
		const canvas = surface.canvas;
		canvas.tabIndex = 0;
		canvas.setAttribute("role", "application");
		canvas.setAttribute("aria-roledescription", "cloud of points");
		canvas.setAttribute("aria-label", title + ". Arrow keys walk from point to point.");
		const near = (event) => {
			let best = -1,
				least = 24 * 24;
			placed.forEach(([px, py], k) => {
				const d = (px - event.offsetX) ** 2 + (py - event.offsetY) ** 2;
				if (d < least) {
					least = d;
					best = k;
				}
			});
			light(best);
		};
		surface.on("pointermove", near);
		surface.on("pointerdown", near);
		const order = points.map((_, k) => k).sort((a, b) => points[a].x - points[b].x || points[a].y - points[b].y);
		surface.on("keydown", (event) => {
			const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
			if (!step || !points.length) return;
			event.preventDefault();
			const now = order.indexOf(lit);
			light(order[now < 0 ? 0 : (now + step + order.length) % order.length]);
		});
		parent.append(line);
		M.saver(
			parent,
			title,
			surface,
			() => [[x?.name || "x", y?.name || "y", "mark"], points.map((p) => [p.x, p.y, p.label])],
			key,
		);
		return { surface, light };
	};
})();
