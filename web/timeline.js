// The iteration timeline: a lane per replica (in a pipeline several), from the whole run down to one
// iteration.
(() => {
	const M = Metron,
		h = M.h;

	/* ---- columns, and coarser ones made of them ---- */
	// Two columns put together; the largest and the smallest of every number are kept.
	const SUMS = ["prefill", "mixed", "decode"],
		MOST = ["tokens", "batch", "kv", "wait", "longest"],
		LEAST = ["batchMin", "kvMin", "waitMin"];
	const coarser = (fine) => {
		const n = fine.start.length,
			size = Math.ceil(n / 2),
			next = { each: fine.each * 2, start: new Float64Array(size), end: new Float64Array(size) };
		for (let k = 0; k < size; k++) {
			next.start[k] = fine.start[2 * k];
			next.end[k] = fine.end[Math.min(2 * k + 1, n - 1)];
		}
		const put = (names, both) =>
			names.forEach((name) => {
				const from = fine[name],
					to = new Float64Array(size);
				next[name] = to;
				for (let k = 0; k < n >> 1; k++) to[k] = both(from[2 * k], from[2 * k + 1]);
				if (n & 1) to[size - 1] = from[n - 1];
			});
		put(SUMS, (a, b) => a + b);
		put(MOST, (a, b) => Math.max(a, b));
		put(LEAST, (a, b) => Math.min(a, b));
		return next;
	};
	// The arrays of one stretch, finest level first; each further level has half as many columns.
	M.levels = (columns) => {
		const n = columns.start_us.length,
			merged = columns.merged,
			zeros = () => new Float64Array(n);
		const f = (list) => new Float64Array(list);
		/** @type {Record<string, any>} */
		const base = {
			each: columns.each,
			start: zeros(),
			end: zeros(),
			tokens: f(columns.prefill_tokens),
			batch: f(columns.decodes),
			kv: f(columns.kv),
			wait: f(columns.waiting),
		};
		for (let k = 0, at = 0; k < n; k++) {
			at += columns.start_us[k];
			base.start[k] = at;
			base.end[k] = at + columns.span_us[k];
			if (!merged) base.batch[k] += columns.chunks[k];
		}
		if (merged) {
			Object.assign(base, {
				prefill: f(merged.prefill_us),
				mixed: f(merged.mixed_us),
				decode: f(merged.decode_us),
				batch: f(merged.batch),
				batchMin: f(merged.batch_min),
				kvMin: f(merged.kv_min),
				waitMin: f(merged.waiting_min),
				longest: f(merged.longest_us),
			});
		} else {
			Object.assign(base, {
				prefill: zeros(),
				mixed: zeros(),
				decode: zeros(),
				batchMin: base.batch,
				kvMin: base.kv,
				waitMin: base.wait,
				longest: f(columns.span_us),
			});
			for (let k = 0; k < n; k++)
				(columns.chunks[k] > 0 ? (columns.decodes[k] > 0 ? base.mixed : base.prefill) : base.decode)[k] =
					columns.span_us[k];
		}
		const levels = [base];
		while (levels[levels.length - 1].start.length > 64) levels.push(coarser(levels[levels.length - 1]));
		return levels;
	};
	// First place whose end is after t.
	const after = (ends, t) => {
		let low = 0,
			high = ends.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (ends[mid] > t) high = mid;
			else low = mid + 1;
		}
		return low;
	};

	/* ---- the view that all lanes share: they are aligned in time ---- */
	/** Name and height. @type {[string, number][]} */
	const TRACKS = [
		["stalls", 16],
		["iterations", 40],
		["batch", 34],
		["KV", 34],
		["queue", 34],
	];
	const LEFT = 72,
		GAP = 6,
		FOOT = 18;
	const HEIGHT = TRACKS.reduce((sum, track) => sum + track[1] + GAP, 0) + FOOT;

	const named = (lane) =>
		lane.part
			? "replica " + lane.part[0] + (lane.pool ? " of " + lane.pool : "") + ", lane " + lane.part[1]
			: "replica " + lane.replica + (lane.pool ? " of " + lane.pool : "");
	M.laneName = named;

	// Culprits of a stall whose iterations get a frame.
	const told = (stall) => stall.culprits.slice(0, 4);

	// opened(run, at): a stall was chosen. more(run, lane, from_us, to_us): asks for the iterations of a
	// stretch, where a page can.
	M.timeline = (parent, runs, meaning, opened, more) => {
		const drawn = runs.map((run, place) => ({ run, place })).filter((one) => one.run.lanes.length);
		let from = Infinity,
			to = 0;
		const lanes = [];
		drawn.forEach(({ run, place }) =>
			run.lanes.forEach((lane) => {
				const levels = M.levels(lane.all),
					base = levels[0],
					n = base.start.length;
				if (n) {
					from = Math.min(from, base.start[0]);
					to = Math.max(to, base.end[n - 1]);
				}
				const details = lane.details.map((columns) => ({ columns, levels: M.levels(columns) }));
				const stalls = run.stalls
					.map((stall, at) => ({ stall, at }))
					.filter((one) => one.stall.replica === lane.replica);
				// Stalls of other lanes that this one caused: lanes of a pipeline wait for each other.
				const caused = run.stalls
					.map((stall, at) => ({ stall, at }))
					.filter(
						(one) =>
							one.stall.replica !== lane.replica && told(one.stall).some((culprit) => culprit.lane === lane.replica),
					);
				const most = (name) => levels[levels.length - 1][name].reduce((a, b) => Math.max(a, b), 1);
				lanes.push({
					run,
					place,
					lane,
					levels,
					details,
					found: [],
					told: details,
					stalls,
					caused,
					most: { batch: most("batch"), kv: Math.max(lane.kv_blocks, most("kv")), wait: most("wait") },
				});
			}),
		);
		// What stands side by side is drawn on one scale.
		const common = Object.fromEntries(
			["batch", "kv", "wait"].map((name) => [name, Math.max(1, ...lanes.map((lane) => lane.most[name]))]),
		);
		lanes.forEach((lane) => {
			lane.kvAll = lane.most.kv;
			lane.most = common;
		});
		if (!lanes.length || !(to > from)) {
			parent.append(h("p", { class: "absent" }, "No iteration ran."));
			return null;
		}
		const someWait = lanes.some((lane) => lane.levels[lane.levels.length - 1].wait.some((n) => n > 0));
		const whole = { from, to },
			view = { from, to };
		let lit = null,
			pinned = null;
		const watchers = [];
		const isLit = (lane, { at }) => lit !== null && lit.run === lane.run && lit.at === at;

		const draw = () => lanes.forEach((lane) => lane.surface?.draw());
		const set = (a, b) => {
			const span = Math.min(Math.max(b - a, 200), whole.to - whole.from);
			const start = Math.min(Math.max(a, whole.from), whole.to - span);
			view.from = start;
			view.to = start + span;
			note();
			draw();
			watchers.forEach((watch) => watch(view));
		};
		const zoom = (factor, at) => {
			const middle = at == null ? (view.from + view.to) / 2 : at;
			set(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
		};
		const pan = (share) => {
			const by = (view.to - view.from) * share;
			set(view.from + by, view.to + by);
		};
		const show = (a, b) => {
			const room = Math.max((b - a) * 0.6, 1000);
			set(a - room, b + room);
		};

		const where = h("p", { class: "readout", "aria-live": "polite" });
		const note = () => {
			const detail = lanes
				.map((lane) => pick(lane))
				.reduce((most, one) => (one.last > one.first ? Math.max(most, one.each) : most), 1);
			const kept = lanes.some((lane) => lane.lane.all.each > 1);
			where.textContent =
				M.between(view.from, view.to) +
				" (" +
				M.us(view.to - view.from) +
				"): " +
				(detail === 1
					? "every iteration by itself."
					: "each column stands for up to " +
						M.count(detail) +
						" iterations" +
						(kept && !more && detail === Math.max(...lanes.map((lane) => lane.lane.all.each))
							? "; single ones are kept around the worst stalls."
							: "."));
			if (more && kept) wish();
		};
		// Single iterations of what is being looked at: those that the page holds soon, others once it
		// stands still.
		let wished = null;
		const wish = () => {
			if (wished !== null && more.here) return;
			clearTimeout(wished);
			wished = setTimeout(look, more.here ? 30 : 150);
		};
		const look = async () => {
			wished = null;
			if (!lanes[0].surface.canvas.isConnected) return;
			const { from, to } = view,
				room = to - from;
			const [a, b] = [Math.max(whole.from, from - room / 2), Math.min(whole.to, to + room / 2)];
			const lacking = lanes.filter((lane) => {
				const now = pick(lane);
				return lane.lane.all.each > 1 && (now.partly || (now.each > 1 && now.finest));
			});
			const found = await Promise.all(
				lacking.map((lane) => {
					const level = lane.levels[0],
						places = [after(level.end, a) * level.each, (after(level.end, b) + 1) * level.each];
					return places[1] - places[0] <= (more.most || 5000)
						? more(lane.run, lane.lane, Math.floor(a), Math.ceil(b), places)
						: null;
				}),
			);
			found.forEach((columns, k) => {
				if (!columns?.start_us.length) return;
				const found = lacking[k].found;
				found.unshift({ columns, levels: M.levels(columns) });
				// What was looked at long ago is let go.
				let kept = 0;
				const cut = found.findIndex((one, at) => {
					if (at === 0) return false;
					kept += one.columns.start_us.length;
					return at > 30 || kept > 300000;
				});
				if (cut > 0) found.splice(cut);
				lacking[k].told = [...found, ...lacking[k].details];
			});
			if (found.some(Boolean)) {
				note();
				draw();
				// Finer columns are under the pointer now.
				lanes.forEach((lane) => lane.pointed?.());
			}
		};
		const button = (text, label, act) =>
			h("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
		parent.append(
			h(
				"div",
				{ class: "controls", role: "group", "aria-label": "Timeline" },
				button("+", "Zoom in", () => zoom(0.5)),
				button("\u2212", "Zoom out", () => zoom(2)),
				button("\u2190", "Earlier", () => pan(-0.4)),
				button("\u2192", "Later", () => pan(0.4)),
				button("Whole run", "Show the whole run", () => set(whole.from, whole.to)),
				lanes.some((lane) => lane.stalls.length) &&
					button("Worst stall", "Show the worst stall", () => {
						const all = lanes.flatMap((lane) => lane.stalls.map((one) => ({ lane, ...one })));
						all.sort((a, b) => b.stall.beyond_ns - a.stall.beyond_ns);
						focus(all[0].lane, all[0].at);
					}),
			),
			where,
		);
		parent.append(
			M.legend([
				{ name: "prefill", color: () => M.kindColor("prefill"), pattern: "slash" },
				{ name: "decode", color: () => M.kindColor("decode") },
				{ name: "both at once: half and half", color: () => M.kindColor("decode"), half: () => M.kindColor("prefill") },
				{ name: "idle", color: () => M.css("--card") },
				...(lanes.some((lane) => lane.levels.length > 1)
					? [
							{ name: "most in a column", color: () => M.css("--area-faint") },
							{ name: "least in a column", color: () => M.css("--area") },
						]
					: []),
			]),
		);
		parent.append(
			h(
				"p",
				{ class: "hint" },
				"Under the name of a row stands what its full height means: requests in the batch, all KV blocks, requests in the queue." +
					(lanes.some((lane) => lane.lane.part)
						? " The lanes of a replica take turns in its pipeline, and wait for each other: a dashed box is a stall of the other lane, above the iterations that had a part in it."
						: ""),
			),
		);

		// The columns to draw a lane with: details around stalls where the view lies within one.
		const pick = (lane) => {
			const width = lane.surface?.width ? Math.max(1, lane.surface.width - LEFT) : 600,
				all = lane.levels[0];
			for (const detail of lane.told) {
				const base = detail.levels[0],
					n = base.start.length;
				if (
					n &&
					base.start[0] <= Math.max(view.from, all.start[0]) &&
					base.end[n - 1] >= Math.min(view.to, all.end[all.end.length - 1])
				)
					return best(detail.levels, width, detail.columns);
			}
			// A view that reaches beyond a stretch told in detail, but not by much, is drawn with it too.
			for (const detail of lane.told) {
				const base = detail.levels[0],
					n = base.start.length;
				const shared = n ? Math.min(base.end[n - 1], view.to) - Math.max(base.start[0], view.from) : 0;
				if (
					shared > (view.to - view.from) * 0.5 &&
					lane.lane.all.each > 1 &&
					view.to - view.from < 2 * (base.end[n - 1] - base.start[0])
				)
					return { ...best(detail.levels, width, detail.columns), partly: [base.start[0], base.end[n - 1]] };
			}
			return coarse(lane, width);
		};
		const coarse = (lane, width) => best(lane.levels, width, lane.lane.all);
		const best = (levels, width, columns) => {
			for (let k = 0; k < levels.length; k++) {
				const level = levels[k],
					first = after(level.end, view.from),
					last = after(level.end, view.to);
				if (last - first <= width || k === levels.length - 1)
					return {
						level,
						first,
						last: Math.min(last + 1, level.start.length),
						each: level.each,
						columns,
						finest: k === 0,
					};
			}
		};

		const describe = (lane, picked, k) => {
			const l = picked.level,
				kv = lane.kvAll ? " (" + M.percent(l.kv[k] / lane.kvAll) + ")" : "";
			if (l.each > 1) {
				const number = picked.columns.first + k * l.each;
				return (
					"Iterations " +
					M.count(number) +
					" to " +
					M.count(number + l.each - 1) +
					", from " +
					M.us(l.start[k]) +
					": batch " +
					l.batchMin[k] +
					" to " +
					l.batch[k] +
					", up to " +
					M.count(l.tokens[k]) +
					" prefill tokens, KV " +
					M.count(l.kvMin[k]) +
					" to " +
					M.count(l.kv[k]) +
					kv +
					", queue " +
					l.waitMin[k] +
					" to " +
					l.wait[k] +
					", longest " +
					M.us(l.longest[k])
				);
			}
			const who = [];
			if (picked.columns.who) {
				if (!picked.columns.whoAt) picked.columns.whoAt = M.running(picked.columns.who.column);
				picked.columns.whoAt.forEach((column, at) => {
					if (column === k)
						who.push(
							"request " + picked.columns.who.request[at] + " " + M.count(picked.columns.who.tokens[at]) + " tokens",
						);
				});
			}
			return (
				"Iteration " +
				M.count(picked.columns.first + k) +
				" at " +
				M.us(l.start[k]) +
				", " +
				M.us(l.end[k] - l.start[k]) +
				": " +
				picked.columns.decodes[k] +
				" decodes" +
				(picked.columns.drafts?.verified[k]
					? " with " +
						M.count(picked.columns.drafts.verified[k]) +
						" drafts (" +
						M.count(picked.columns.drafts.accepted[k]) +
						" accepted)"
					: "") +
				(l.tokens[k]
					? ", " + M.count(l.tokens[k]) + " prefill tokens" + (who.length ? " (" + who.join(", ") + ")" : "")
					: "") +
				", KV " +
				M.count(l.kv[k]) +
				" blocks" +
				kv +
				", " +
				"up to " +
				M.count(l.wait[k]) +
				" waiting"
			);
		};

		const paint = (lane, c, width) => {
			const plot = width - LEFT - 4,
				scale = plot / (view.to - view.from),
				x = (t) => LEFT + (t - view.from) * scale;
			const picked = pick(lane),
				ink = M.css("--ink"),
				grid = M.css("--grid");
			let top = 0;
			const tops = {};
			TRACKS.forEach(([name, height]) => {
				tops[name] = { top, height };
				top += height + GAP;
			});
			lane.tops = tops;
			c.fillStyle = ink;
			c.textAlign = "right";
			TRACKS.forEach(([name, height]) => {
				c.fillText(name, LEFT - 6, tops[name].top + Math.min(height, 12));
			});
			c.fillStyle = M.css("--faint");
			const peak = (name, text) => c.fillText(text, LEFT - 6, tops[name].top + 26);
			peak("batch", M.count(lane.most.batch));
			peak("KV", M.count(lane.most.kv));
			peak("queue", M.count(someWait ? lane.most.wait : 0));
			c.save();
			c.beginPath();
			c.rect(LEFT, 0, plot, HEIGHT);
			c.clip();
			c.fillStyle = M.css("--track");
			TRACKS.slice(1).forEach(([name]) => c.fillRect(LEFT, tops[name].top, plot, tops[name].height));
			const pre = M.fill(c, M.kindColor("prefill"), "slash"),
				dec = M.kindColor("decode");
			const it = tops.iterations;
			const rows = [
				["batch", "batch", "batchMin", lane.most.batch],
				["KV", "kv", "kvMin", lane.most.kv],
				["queue", "wait", "waitMin", lane.most.wait],
			];
			const columns = ({ level: l, first, last }, clipFrom, clipTo) => {
				c.save();
				c.beginPath();
				c.rect(x(clipFrom), 0, x(clipTo) - x(clipFrom), HEIGHT);
				c.clip();
				// Whole pixels and one colour at a time: the cheapest that a canvas can do, so that panning
				// stays smooth without a graphics card.
				const n = Math.max(0, last - first);
				const left = new Int32Array(n),
					wide = new Int32Array(n),
					prefills = new Float64Array(n),
					decodes = new Float64Array(n);
				const apart = (scale * (view.to - view.from)) / Math.max(1, n) > 5 ? 1 : 0;
				for (let k = 0; k < n; k++) {
					const at = first + k,
						span = Math.max(l.end[at] - l.start[at], 1),
						x0 = x(l.start[at]),
						from = Math.max(LEFT - 2, Math.floor(x0));
					left[k] = from;
					wide[k] = Math.max(1, Math.min(width, Math.ceil(x0 + span * scale)) - from - apart);
					// Prefill above, decodes below; an iteration with both is half and half.
					const p = l.prefill[at] + l.mixed[at] / 2,
						d = l.decode[at] + l.mixed[at] / 2;
					prefills[k] = Math.round((it.height * p) / span);
					decodes[k] = Math.round((it.height * d) / span);
				}
				// Neighbours of one height are one rectangle.
				const strips = (foot, tall, room) => {
					let x0 = 0,
						x1 = -1,
						low = 0,
						high = 0;
					const put = () => {
						if (high > 0) c.fillRect(x0, low - high, x1 - x0, high);
					};
					for (let k = 0; k < n; k++) {
						const f = foot(k),
							a = tall(k),
							end = left[k] + wide[k] + room;
						if (a === high && f === low && left[k] <= x1) {
							if (end > x1) x1 = end;
							continue;
						}
						put();
						x0 = left[k];
						x1 = end;
						low = f;
						high = a;
					}
					put();
				};
				c.fillStyle = dec;
				strips(
					() => it.top + it.height,
					(k) => decodes[k],
					0,
				);
				c.fillStyle = apart ? pre : M.kindColor("prefill");
				strips(
					(k) => it.top + it.height - decodes[k],
					(k) => prefills[k],
					0,
				);
				rows.forEach(([track, most, least, top]) => {
					const t = tops[track],
						bars = (name) => {
							const of = l[name];
							strips(
								() => t.top + t.height,
								(k) => Math.ceil((t.height * of[first + k]) / top),
								apart,
							);
						};
					c.fillStyle = M.css("--area-faint");
					if (l[most] !== l[least]) bars(most);
					c.fillStyle = M.css("--area");
					bars(least);
				});
				c.restore();
			};
			if (picked.partly) {
				const [a, b] = picked.partly,
					rest = coarse(lane, width);
				if (a > view.from) columns(rest, view.from, a);
				if (b < view.to) columns(rest, b, view.to);
				columns(picked, Math.max(a, view.from), Math.min(b, view.to));
			} else columns(picked, view.from, view.to);
			// Stalls: the victim's wait above, its culprits' iterations framed below, linked.
			const frames = (stall, to) =>
				told(stall)
					.filter((culprit) => culprit.lane === lane.lane.replica)
					.forEach((culprit) =>
						culprit.iterations_us.forEach(([a, b]) => {
							const xa = x(a),
								xb = Math.max(xa + 3, x(b));
							c.lineWidth = 1.5;
							c.strokeRect(xa, it.top - 1, xb - xa, it.height + 2);
							c.beginPath();
							c.moveTo((xa + xb) / 2, it.top - 1);
							c.lineTo(to, tops.stalls.top + tops.stalls.height - 2);
							c.stroke();
						}),
					);
			[...lane.stalls.filter((one) => !isLit(lane, one)), ...lane.stalls.filter((one) => isLit(lane, one))].forEach(
				({ stall, at }) => {
					const x0 = x(stall.from_us),
						wide = Math.max(3, x(stall.to_us) - x0),
						on = isLit(lane, { at });
					c.fillStyle = M.fill(c, M.causeColor(stall.main_cause), M.causePattern(stall.main_cause));
					c.fillRect(x0, tops.stalls.top + 2, wide, tops.stalls.height - 4);
					if (on) {
						c.strokeStyle = ink;
						c.lineWidth = 2;
						c.strokeRect(x0 - 1, tops.stalls.top + 1, wide + 2, tops.stalls.height - 2);
						frames(stall, x0 + wide / 2);
					}
				},
			);
			// In a pipeline: a stall of another lane, hollow here, and what this lane had to do with it.
			lane.caused
				.filter((one) => isLit(lane, one))
				.forEach(({ stall }) => {
					const x0 = x(stall.from_us),
						wide = Math.max(3, x(stall.to_us) - x0);
					c.strokeStyle = ink;
					c.lineWidth = 1.5;
					c.setLineDash([4, 3]);
					c.strokeRect(x0, tops.stalls.top + 2, wide, tops.stalls.height - 4);
					c.setLineDash([]);
					frames(stall, x0 + wide / 2);
				});
			// Where a player stands, and what is pointed at elsewhere.
			M.drawCursor(c, (t) => (t >= view.from && t <= view.to ? x(t) : null), 0, HEIGHT - FOOT);
			c.restore();
			// The clock.
			c.strokeStyle = grid;
			c.fillStyle = ink;
			c.lineWidth = 1;
			M.drawClock(c, view, x, { left: LEFT, right: width, wide: plot, y: HEIGHT - 4 }, (at) => {
				c.beginPath();
				c.moveTo(at, it.top + it.height + GAP);
				c.lineTo(at, HEIGHT - FOOT);
				c.stroke();
			});
		};

		const stallAt = (lane, px, py) => {
			const width = lane.surface.width,
				scale = (width - LEFT - 4) / (view.to - view.from);
			const t = view.from + (px - LEFT) / scale,
				slack = 5 / scale;
			const hit = lane.stalls.filter(({ stall }) => t >= stall.from_us - slack && t <= stall.to_us + slack);
			if (py <= TRACKS[0][1] + 3)
				return hit.sort((a, b) => a.stall.to_us - a.stall.from_us - (b.stall.to_us - b.stall.from_us))[0];
			// On a culprit's iteration: its victim.
			return [...lane.stalls, ...lane.caused].find(
				({ stall }) =>
					py < TRACKS[0][1] + GAP + 44 &&
					told(stall).some(
						(one) => one.lane === lane.lane.replica && one.iterations_us.some(([a, b]) => t >= a && t <= b),
					),
			);
		};
		const columnAt = (lane, px) => {
			const scale = (lane.surface.width - LEFT - 4) / (view.to - view.from),
				t = view.from + (px - LEFT) / scale;
			let picked = pick(lane);
			if (picked.partly && (t < picked.partly[0] || t > picked.partly[1]))
				picked = coarse(lane, lane.surface.width - LEFT);
			const k = after(picked.level.end, t);
			return k < picked.level.start.length && picked.level.start[k] <= t
				? describe(lane, picked, k)
				: px > LEFT
					? "Idle at " + M.us(t)
					: "";
		};
		// The lane that a stall stands in.
		const owner = (run, at) => lanes.find((one) => one.run === run && one.stalls.some((stall) => stall.at === at));
		const focus = (lane, at, still) => {
			const stall = lane.run.stalls[at];
			lit = { run: lane.run, at };
			pinned = M.story(stall, meaning);
			lane.line.textContent = pinned;
			show(stall.from_us, stall.to_us);
			if (still) return;
			// Beside a lesson the page itself stays where it is read.
			const block = document.body.classList.contains("learning") ? "nearest" : "center";
			lane.surface.canvas.scrollIntoView({ block, behavior: M.calm() ? "auto" : "smooth" });
		};

		const iterationsKey = () => [
			{ name: "prefill", color: () => M.kindColor("prefill") },
			{ name: "decode", color: () => M.kindColor("decode") },
			{ name: "stalls by cause above; batch, KV blocks and queue below", color: () => M.css("--area") },
		];
		// What a lane shows now, column by column.
		/** @returns {[any[], any[][]]} */
		const table = (lane) => {
			const { level, first, last, columns } = pick(lane);
			return [
				[
					"first iteration",
					"iterations",
					"start s",
					"end s",
					"batch least",
					"batch most",
					"prefill tokens most",
					"KV blocks least",
					"KV blocks most",
					"queue least",
					"queue most",
					"longest iteration s",
				],
				Array.from({ length: Math.max(0, last - first) }, (_, k) => first + k).map((k) => [
					columns.first + k * level.each,
					level.each,
					level.start[k] / 1e6,
					level.end[k] / 1e6,
					level.batchMin[k],
					level.batch[k],
					level.tokens[k],
					level.kvMin[k],
					level.kv[k],
					level.waitMin[k],
					level.wait[k],
					level.longest[k] / 1e6,
				]),
			];
		};

		let scrolled = 0;
		let lastRun = null;
		lanes.forEach((lane) => {
			if (lastRun !== lane.run) {
				lastRun = lane.run;
				parent.append(
					h(
						"h3",
						{},
						M.swatch(() => M.runColor(lane.place)),
						lane.run.label,
					),
				);
			}
			const many = lane.run.lanes.length > 1;
			if (many) parent.append(h("p", { class: "lane" }, named(lane.lane).replace(/^r/, "R")));
			const label =
				"Iterations of " +
				lane.run.label +
				(many ? ", " + named(lane.lane) : "") +
				". " +
				M.count(lane.lane.iterations) +
				" iterations. Plus and minus zoom, arrow keys move, 0 shows the whole run, N and P go to the next and the previous stall, Enter opens its story.";
			const holder = h("div", { class: "lane-box" });
			parent.append(holder);
			let noted = 0;
			// How many iterations a column holds depends on the room.
			lane.surface = M.surface(holder, HEIGHT, label, (c, width) => {
				if (noted !== width) {
					noted = width;
					queueMicrotask(note);
				}
				paint(lane, c, width);
			});
			lane.line = M.told("Point at an iteration or a stall to read it; drag to move.", true);
			lane.line.setAttribute("aria-live", "polite");
			parent.append(lane.line);
			M.saver(
				parent,
				"Iterations, " + lane.run.label + (many ? ", " + named(lane.lane) : ""),
				lane.surface,
				() => table(lane),
				iterationsKey,
			);
			const canvas = lane.surface.canvas;
			canvas.tabIndex = 0;
			canvas.classList.add("timeline");
			canvas.setAttribute("role", "application");
			canvas.setAttribute("aria-roledescription", "timeline");
			const time = (px) => view.from + ((px - LEFT) / (lane.surface.width - LEFT - 4)) * (view.to - view.from);
			// Tells what the pointer is on.
			const point = (event) => {
				lane.pointed = () => point(event);
				const stall = stallAt(lane, event.offsetX, event.offsetY);
				const next = stall ? { run: lane.run, at: stall.at } : null;
				if (next?.at !== lit?.at || next?.run !== lit?.run) {
					lit = next;
					draw();
				}
				canvas.style.cursor = stall ? "pointer" : "grab";
				lane.line.tell(stall ? M.story(stall.stall, meaning) : columnAt(lane, event.offsetX));
				M.cursor.point(event.offsetX > LEFT ? time(event.offsetX) : null, lane);
			};
			lane.surface.on(
				"wheel",
				(event) => {
					const out = event.deltaY > 0 && view.to - view.from >= whole.to - whole.from;
					// A page that is being scrolled past, or a view that cannot grow, scrolls on.
					if (!event.ctrlKey && (out || performance.now() - scrolled < 250)) return;
					event.preventDefault();
					if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(event.deltaX / lane.surface.width);
					else zoom(Math.exp(Math.max(-0.7, Math.min(0.7, event.deltaY * 0.0022))), time(event.offsetX));
					// Another column, or another stall, is under the pointer now.
					point(event);
				},
				{ passive: false },
			);
			const pointers = new Map();
			let moved = 0;
			lane.surface.on("pointerdown", (event) => {
				pointers.set(event.pointerId, event.offsetX);
				moved = 0;
				canvas.setPointerCapture(event.pointerId);
			});
			lane.surface.on("pointermove", (event) => {
				if (pointers.has(event.pointerId)) {
					const before = [...pointers.values()];
					const was = pointers.get(event.pointerId);
					pointers.set(event.pointerId, event.offsetX);
					moved += Math.abs(event.offsetX - was);
					if (pointers.size === 1) pan((was - event.offsetX) / (lane.surface.width - LEFT));
					else if (pointers.size === 2) {
						const now = [...pointers.values()],
							apart = Math.abs(before[0] - before[1]),
							apartNow = Math.max(4, Math.abs(now[0] - now[1]));
						zoom(Math.min(2, Math.max(0.5, Math.max(4, apart) / apartNow)), time((now[0] + now[1]) / 2));
					}
					return;
				}
				point(event);
			});
			const leave = (event) => {
				pointers.delete(event.pointerId);
			};
			lane.surface.on("pointerup", (event) => {
				leave(event);
				if (moved > 4) return;
				const stall = stallAt(lane, event.offsetX, event.offsetY);
				if (stall) {
					focus(owner(lane.run, stall.at) || lane, stall.at);
					if (opened) opened(lane.run, stall.at);
				} else {
					pinned = columnAt(lane, event.offsetX);
					lane.line.tell(pinned);
				}
			});
			lane.surface.on("pointercancel", leave);
			lane.surface.on("pointerleave", () => {
				lane.pointed = null;
				lane.line.tell(pinned);
				M.cursor.point(null, lane);
			});
			lane.surface.on("dblclick", (event) => zoom(0.4, time(event.offsetX)));
			// Its stalls from left to right, by keys: to the one after what is lit, or after the middle.
			const inTime = lane.stalls.slice().sort((a, b) => a.stall.from_us - b.stall.from_us);
			const walk = (by) => {
				const now = inTime.findIndex((one) => isLit(lane, one)),
					middle = (view.from + view.to) / 2;
				const first = inTime.filter((one) => one.stall.from_us < middle).length - (by > 0 ? 0 : 1);
				const next = inTime[now >= 0 ? now + by : first];
				if (next) focus(lane, next.at);
			};
			const story = () => {
				const one = inTime.find((one) => isLit(lane, one));
				if (one && opened) opened(lane.run, one.at);
			};
			lane.surface.on("keydown", (event) => {
				const stalls = { n: () => walk(1), p: () => walk(-1), Enter: story }[event.key];
				if (stalls && !event.ctrlKey && !event.metaKey && !event.altKey) {
					event.preventDefault();
					stalls();
					return;
				}
				const act = {
					"+": () => zoom(0.5),
					"=": () => zoom(0.5),
					"-": () => zoom(2),
					_: () => zoom(2),
					ArrowLeft: () => pan(-0.2),
					ArrowRight: () => pan(0.2),
					0: () => set(whole.from, whole.to),
					Home: () => set(whole.from, whole.from + view.to - view.from),
					End: () => set(whole.to - view.to + view.from, whole.to),
				}[event.key];
				if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
				event.preventDefault();
				act();
				lane.line.textContent = columnAt(lane, LEFT + (lane.surface.width - LEFT) / 2);
			});
		});
		M.cursor.follow(draw, lanes[0].surface.ended.signal);
		window.addEventListener(
			"scroll",
			() => {
				scrolled = performance.now();
			},
			{ passive: true, signal: lanes[0].surface.ended.signal },
		);
		note();
		parent.append(
			M.details(
				"Numbers",
				"Iterations in twenty equal parts of the run",
				["part", "scheduler", "batch", "KV blocks", "waiting", "longest iteration"],
				() =>
					lanes.flatMap((lane) => {
						const l = lane.levels[0],
							rows = [];
						for (let part = 0; part < 20; part++) {
							const a = whole.from + ((whole.to - whole.from) * part) / 20,
								b = a + (whole.to - whole.from) / 20;
							const first = after(l.end, a),
								last = after(l.end, b);
							if (last <= first) continue;
							const most = (name) => l[name].subarray(first, last).reduce((x, y) => Math.max(x, y), 0),
								least = (name) => l[name].subarray(first, last).reduce((x, y) => Math.min(x, y), Infinity);
							rows.push([
								M.us(a),
								lane.run.label + (lane.run.lanes.length > 1 ? ", " + named(lane.lane) : ""),
								least("batchMin") + " to " + most("batch"),
								M.count(least("kvMin")) + " to " + M.count(most("kv")),
								least("waitMin") + " to " + most("wait"),
								M.us(most("longest")),
							]);
						}
						return rows;
					}),
			),
		);
		return {
			view,
			whole,
			set,
			zoom,
			pan,
			// watch(view): told whenever another stretch is shown.
			watch: (watch) => watchers.push(watch),
			lanes: lanes.map((lane) => ({ run: lane.run, lane: lane.lane })),
			// still: nothing is scrolled.
			focusStall: (run, at, still) => {
				const lane = owner(run, at);
				if (lane) focus(lane, at, still);
			},
		};
	};
})();
