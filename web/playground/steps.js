// The batch of each iteration, both schedulers at the same simulated time.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const WINDOW = 240;
	const SPEEDS = [
		[0.01, "100 times slower"],
		[0.05, "20 times slower"],
		[0.2, "5 times slower"],
		[1, "as fast as it was"],
		[5, "5 times faster"],
	];
	const color = P.requestColor;

	// A moment of the run, told finely enough that single iterations differ.
	const moment = (us) => (us / 1e6).toFixed(3) + " s";

	// Who waits at a time: those in the queue when the iteration began, and who came or went since.
	const queue = (step, t) => {
		const names = step.waiting.slice();
		let count = step.waiting_count;
		(step.queue || []).forEach(([at, request, came]) => {
			if (at > t) return;
			count += came ? 1 : -1;
			const place = names.indexOf(request);
			if (!came && place >= 0) names.splice(place, 1);
			else if (came && names.length < 96) names.push(request);
		});
		return { names: names.slice(0, count), count };
	};

	// One run's iterations, fetched a window at a time. Of several lanes one is told.
	const track = (answer, place, lane) => {
		const replica = lane ? lane.replica : 0;
		// What came with the answer, where this was in view.
		const came = (answer.steps || [])[place];
		let window = came && came.replica === replica ? came : null,
			asked = null;
		const fetch = (at) =>
			P.ask({
				op: "steps",
				scenario: { text: answer.text, show: answer.shown },
				scheduler: answer.shown[place],
				replica,
				at_us: Math.max(0, Math.floor(at)),
				count: WINDOW,
			});
		const covers = (t) => {
			if (!window?.steps.length) return false;
			const last = window.steps.length - 1,
				all = window.from + window.steps.length >= window.iterations;
			return (
				(window.from === 0 || (window.steps[1] && t >= window.steps[1].start_us)) &&
				(all || t < window.steps[Math.max(0, last - 1)].start_us)
			);
		};
		const one = {
			replica,
			lane,
			// Makes sure that the window holds the time; false where there is nothing to show.
			ensure: async (t) => {
				if (covers(t)) return true;
				if (!asked)
					asked = fetch(t).then((found) => {
						asked = null;
						if (found.ok) window = found;
						return found.ok;
					});
				const ok = await asked;
				return ok && (covers(t) || !window.steps.length || one.ensure(t));
			},
			covers,
			get window() {
				return window;
			},
			// The iteration that ran at a time, or the last one before.
			at: (t) => {
				const steps = window.steps;
				let low = 0,
					high = steps.length;
				while (low < high) {
					const mid = (low + high) >> 1;
					if (steps[mid].start_us <= t) low = mid + 1;
					else high = mid;
				}
				return low - 1;
			},
			next: (t) => {
				const step = window.steps[one.at(t) + 1];
				return step ? step.start_us : Infinity;
			},
			before: (t) => {
				const at = one.at(t),
					step = window.steps[at];
				if (!step) return -1;
				if (step.start_us < t) return step.start_us;
				return at > 0 ? window.steps[at - 1].start_us : -1;
			},
		};
		return one;
	};

	const words = (window, at, t) => {
		const step = window.steps[at];
		if (!step) return "Nothing has run yet.";
		const prefill = step.chunks.reduce((sum, chunk) => sum + chunk[2], 0);
		const idle = t >= step.end_us;
		return (
			"Iteration " +
			M.count(window.from + at) +
			", from " +
			moment(step.start_us) +
			", took " +
			M.us(step.end_us - step.start_us) +
			(idle ? ", is over; the GPU is idle" : "") +
			": " +
			step.decodes.length +
			" decode" +
			(step.decodes.length === 1 ? "" : "s") +
			(step.drafts?.verified
				? " with " + M.count(step.drafts.verified) + " drafts, " + M.count(step.drafts.accepted) + " of them accepted"
				: "") +
			(step.chunks.length
				? ", " +
					M.count(prefill) +
					" prefill tokens of " +
					step.chunks
						.slice(0, 3)
						.map(
							(chunk) =>
								"request " +
								chunk[0] +
								(chunk[1] + chunk[2] < chunk[3]
									? " (" + M.count(chunk[1] + chunk[2]) + " of " + M.count(chunk[3]) + " done)"
									: " (whole prompt done)"),
						)
						.join(", ") +
					(step.chunks.length > 3 ? " and " + (step.chunks.length - 3) + " more" : "")
				: "") +
			", " +
			(step.frozen_count
				? M.count(step.frozen_count) +
					(step.frozen_count === 1 ? " stands still (request " : " stand still (requests ") +
					step.frozen.slice(0, 8).join(", ") +
					(step.frozen_count > 8 ? " and more" : "") +
					"), "
				: "") +
			M.count(queue(step, t).count) +
			" waiting, " +
			M.count(step.kv_used) +
			" of " +
			M.count(window.kv_blocks) +
			" KV blocks" +
			(step.preempted ? ", " + step.preempted.length + " preempted" : "") +
			"."
		);
	};

	// The same as a table: who was where in the iteration.
	/** @returns {[any[], any[][]]} */
	const batchRows = (window, at, t) => {
		const step = window?.steps[at],
			rows = step
				? [
						...queue(step, t).names.map((request) => ["waiting", request, 0]),
						...step.frozen.map((request) => ["stalled", request, 0]),
						...step.decodes.map((request) => ["decode", request, 1]),
						...step.chunks.map((chunk) => ["prefill", chunk[0], chunk[2]]),
					].map((row) => [window.from + at, step.start_us / 1e6, step.end_us / 1e6, ...row])
				: [];
		return [["iteration", "from s", "to s", "what", "request", "tokens"], rows];
	};

	const HEIGHT = 266,
		LEFT = 66;
	const paint = (c, width, window, at, t, place) => {
		const step = window?.steps[at],
			ink = M.css("--ink"),
			faint = M.css("--faint"),
			track = M.css("--track");
		const plot = width - LEFT - 6;
		const row = (y, name) => {
			c.fillStyle = ink;
			c.textAlign = "right";
			c.fillText(name, LEFT - 8, y + 14);
		};
		const tile = (x, y, wide, tall, request, striped) => {
			c.fillStyle = striped ? M.fill(c, color(request), "slash") : color(request);
			c.fillRect(x, y, wide, tall);
			c.strokeStyle = M.css("--card");
			c.lineWidth = 1;
			c.strokeRect(x + 0.5, y + 0.5, wide - 1, tall - 1);
			const text = String(request);
			if (wide > 8 + text.length * 6.5) {
				c.fillStyle = ink;
				c.textAlign = "center";
				c.font = "11px system-ui, sans-serif";
				if (striped) {
					c.fillStyle = M.css("--card");
					c.fillRect(x + wide / 2 - text.length * 3.4 - 3, y + tall / 2 - 8, text.length * 6.8 + 6, 15);
					c.fillStyle = ink;
				}
				c.fillText(text, x + wide / 2, y + tall / 2 + 4);
				c.font = "12px system-ui, sans-serif";
			}
		};
		const bar = (y, share, parts, label) => {
			c.fillStyle = track;
			c.fillRect(LEFT, y, plot, 18);
			let x = LEFT;
			parts.forEach(([part, fill]) => {
				const wide = Math.min(plot * part, LEFT + plot - x);
				c.fillStyle = fill;
				c.fillRect(x, y, Math.max(0, wide), 18);
				x += wide;
			});
			c.strokeStyle = share > 1 ? M.css("--bad") : M.css("--line");
			c.strokeRect(LEFT + 0.5, y + 0.5, plot - 1, 17);
			c.fillStyle = ink;
			c.textAlign = "left";
			c.fillText(label.find((text) => c.measureText(text).width <= plot) || label[label.length - 1], LEFT, y + 33);
		};
		if (!step) {
			c.fillStyle = faint;
			c.textAlign = "left";
			c.fillText(window ? "Nothing has run yet." : "Loading.", LEFT, 30);
			return;
		}
		// Queue, at this very moment.
		const waits = queue(step, t);
		const size = 20,
			label = 13 + 7 * String(Math.max(0, ...waits.names, ...step.frozen, ...step.decodes)).length;
		// As many tiles as fit, and how many more there are.
		const line = (y, name, requests, count, mark) => {
			row(y, name);
			const wide = count * (label + 2) <= plot ? label : size,
				fit = Math.max(1, Math.floor((plot - (count > requests.length ? 40 : 0)) / (wide + 2)));
			const shown = requests.slice(0, count > fit ? Math.max(0, fit - 2) : fit);
			c.fillStyle = track;
			c.fillRect(LEFT, y, plot, size);
			shown.forEach((request, k) => {
				tile(LEFT + k * (wide + 2), y, wide, size, request);
				if (mark) {
					c.strokeStyle = M.css("--bad");
					c.lineWidth = 2;
					c.strokeRect(LEFT + k * (wide + 2) + 1, y + 1, wide - 2, size - 2);
				}
			});
			c.textAlign = "left";
			c.fillStyle = count ? ink : faint;
			if (!count) c.fillText("none", LEFT + 6, y + 14);
			else if (count > shown.length)
				c.fillText("+" + M.count(count - shown.length), LEFT + shown.length * (wide + 2) + 4, y + 14);
		};
		line(2, "waiting", waits.names, waits.count, false);
		// With a seat, but without a token or a piece of their prompt from this iteration.
		line(32, "stalled", step.frozen, step.frozen_count, true);
		// Decodes: one tile, one request: a token, and with drafts up to as many more as were accepted.
		row(62, "decode");
		const rows = 2,
			each = Math.max(4, Math.min(label, Math.floor(((plot - label) * rows) / Math.max(1, step.decodes.length)) - 1)),
			across = Math.max(1, Math.floor(plot / (each + 1)));
		c.fillStyle = track;
		c.fillRect(LEFT, 62, plot, 2 * size + 2);
		step.decodes
			.slice(0, across * rows)
			.forEach((request, k) =>
				tile(LEFT + (k % across) * (each + 1), 62 + Math.floor(k / across) * (size + 2), each, size, request),
			);
		if (!step.decodes.length) {
			c.fillStyle = faint;
			c.textAlign = "left";
			c.fillText("none", LEFT + 6, 76);
		}
		// Prefill: as wide as its share of the budget, or of all prefill tokens.
		row(112, "prefill");
		const prefill = step.chunks.reduce((sum, chunk) => sum + chunk[2], 0);
		const scale = Math.max(prefill, window.budget ? window.budget[1] : 0, 1);
		c.fillStyle = track;
		c.fillRect(LEFT, 112, plot, 26);
		let x = LEFT;
		step.chunks.forEach((chunk) => {
			const wide = Math.max(2, (plot * chunk[2]) / scale);
			tile(x, 112, wide, 26, chunk[0], true);
			x += wide;
		});
		if (!step.chunks.length) {
			c.fillStyle = faint;
			c.textAlign = "left";
			c.fillText("none", LEFT + 6, 129);
		}
		// Budget.
		row(150, "budget");
		// Drafts count for the budget as they are verified.
		const decodes = step.decodes.length + (step.drafts ? step.drafts.verified : 0),
			budget = window.budget;
		if (budget)
			bar(
				150,
				(decodes + prefill) / budget[1],
				[
					[decodes / budget[1], M.kindColor("decode")],
					[prefill / budget[1], M.fill(c, M.kindColor("prefill"), "slash")],
				],
				[
					M.count(decodes) +
						" decode + " +
						M.count(prefill) +
						" prefill tokens of " +
						M.count(budget[1]) +
						" (" +
						budget[0] +
						")",
					M.count(decodes) + " decode + " + M.count(prefill) + " prefill of " + M.count(budget[1]),
				],
			);
		else {
			c.fillStyle = faint;
			c.textAlign = "left";
			c.fillText(M.count(decodes + prefill) + " tokens; this scheduler has no token budget", LEFT, 164);
		}
		row(198, "KV");
		const full = step.kv_used / Math.max(1, window.kv_blocks);
		const used = M.count(step.kv_used) + " of " + M.count(window.kv_blocks) + " blocks (" + M.percent(full) + ")";
		bar(
			198,
			full,
			[[full, full > 0.95 ? M.css("--bad") : M.css("--area")]],
			step.preempted
				? [used + "; preempted: " + step.preempted.join(", "), used + "; " + step.preempted.length + " preempted"]
				: [used],
		);
		c.fillStyle = t >= step.end_us ? faint : M.runColor(place);
		c.textAlign = "left";
		c.fillText(
			(t >= step.end_us ? "idle since " : "running until ") +
				moment(step.end_us) +
				(window.seats ? "; seats " + step.running + " of " + M.count(window.seats[1]) : ""),
			LEFT,
			258,
		);
	};

	const body = document.getElementById("batch-body");
	let answer = null,
		tracks = [],
		t = 0,
		most = 1,
		playing = false,
		version = 0,
		boxes = [],
		chosen = [];
	const range = h("input", { type: "range", min: 0, max: 10000, value: 0, "aria-label": "Simulated time" });
	// Spoken when asked for: while the run plays it would never end.
	const clock = h("output", { class: "readout", "aria-live": "off" }, "");
	const speed = h(
		"select",
		{ "aria-label": "Speed" },
		SPEEDS.map(([factor, name]) => h("option", { value: factor, selected: factor === 0.05 }, name)),
	);
	const play = h("button", { type: "button", "aria-pressed": "false" }, "Play");
	const back = h("button", { type: "button" }, "Step back"),
		on = h("button", { type: "button" }, "Step on");
	const holder = h("div", { class: "batches" });
	body.append(
		h("div", { class: "player", role: "group", "aria-label": "Iterations" }, back, play, on, range, speed),
		clock,
		holder,
	);

	const draw = () => {
		clock.textContent = "At " + moment(t) + " of " + M.us(most);
		if (document.activeElement !== range || playing) range.value = Math.round((10000 * t) / most);
		range.setAttribute("aria-valuetext", moment(t));
		boxes.forEach((box) => {
			box.surface.draw();
			box.blocks.draw();
			const ready = box.track.window && box.track.covers(t);
			const text = ready ? words(box.track.window, box.track.at(t), t) : "";
			if (!playing && text) box.line.textContent = text;
			if (playing) box.line.textContent = "\u00a0";
			if (!playing || !ready) box.blocks.tell();
			box.surface.canvas.setAttribute("aria-label", "The batch of " + box.label + (text ? ". " + text : ""));
		});
		P.batches.mark();
	};
	const go = async (to, follows) => {
		const own = ++version;
		t = Math.max(0, Math.min(most, to));
		if (!follows) M.cursor.set(t, "batch");
		const ready = tracks.map((one) => one.covers(t));
		// What is asked for here is worked out beside the drawing of a frame: the frame goes first.
		if (!ready.every(Boolean)) await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
		if (own !== version) return;
		if (!ready.every(Boolean)) await Promise.all(tracks.map((one) => one.ensure(t)));
		if (own === version) draw();
	};
	const step = async (forward) => {
		stop();
		await Promise.all(tracks.map((one) => one.ensure(t)));
		const times = tracks
			.filter((one) => one.window?.steps.length)
			.map((one) => (forward ? one.next(t) : one.before(t)));
		const to = forward ? Math.min(...times) : Math.max(...times);
		if (Number.isFinite(to) && to >= 0) await go(to);
	};
	// Another player moved: shown at once where its iterations are here, and soon where they are not.
	let following = false;
	M.cursor.follow((cursor, by) => {
		if (by === "batch" || answer === null || cursor.at === t) return;
		stop();
		t = Math.max(0, Math.min(most, cursor.at));
		if (tracks.every((one) => one.covers(t))) {
			draw();
			return;
		}
		if (following || !P.near("batch")) return;
		following = true;
		Promise.all(tracks.map((one) => one.ensure(t))).then(() => {
			following = false;
			draw();
		});
	});
	const stop = () => {
		if (!playing) return;
		playing = false;
		play.textContent = "Play";
		play.setAttribute("aria-pressed", "false");
		draw();
	};
	const start = () => {
		playing = true;
		play.textContent = "Pause";
		play.setAttribute("aria-pressed", "true");
		let before = performance.now(),
			loading = false;
		const frame = async (now) => {
			if (!playing) return;
			const passed = Math.min(100, now - before);
			before = now;
			if (!loading) {
				const to = t + passed * 1000 * Number(speed.value);
				if (to >= most) {
					t = most;
					stop();
					return;
				}
				if (tracks.every((one) => one.covers(to))) {
					t = to;
					M.cursor.set(t, "batch");
					draw();
				} else {
					loading = true;
					Promise.all(tracks.map((one) => one.ensure(to))).then(() => {
						loading = false;
					});
				}
			}
			requestAnimationFrame(frame);
		};
		requestAnimationFrame(frame);
	};
	play.addEventListener("click", () => {
		if (playing) stop();
		else {
			if (t >= most) t = 0;
			start();
		}
	});
	back.addEventListener("click", () => step(false));
	on.addEventListener("click", () => step(true));
	range.addEventListener("input", () => {
		stop();
		go((Number(range.value) * most) / 10000);
	});

	// Shows another lane of a run.
	const pickLane = (place, lane) => {
		tracks[place] = track(answer, place, lane);
		if (boxes[place]) boxes[place].track = tracks[place];
	};
	const showLane = (place, replica) => {
		const lane = answer.runs[place].lanes.find((one) => one.replica === replica);
		if (!lane || tracks[place].replica === replica) return;
		chosen[place] = replica;
		pickLane(place, lane);
		const menu = boxes[place]?.title.querySelector("select");
		if (menu) menu.value = replica;
	};

	P.batches = {
		draw: (to) => {
			const first = answer === null;
			stop();
			answer = to;
			most = Math.max(
				1,
				...to.runs.flatMap((run) =>
					run.lanes.map((lane) => {
						let at = 0;
						lane.all.start_us.forEach((delta) => {
							at += delta;
						});
						return at + (lane.all.span_us[lane.all.span_us.length - 1] || 0);
					}),
				),
			);
			const laneOf = (run, place) => run.lanes.find((lane) => lane.replica === chosen[place]) || run.lanes[0];
			tracks = to.runs.map((run, place) => track(to, place, laneOf(run, place)));
			const head = (run, place) =>
				[
					M.swatch(() => M.runColor(place)),
					run.label + " ",
					run.lanes.length > 1 &&
						h(
							"select",
							{
								"aria-label": "Which lane of " + run.label,
								onchange: (event) => {
									chosen[place] = Number(event.target.value);
									pickLane(place, laneOf(run, place));
									go(t);
								},
							},
							run.lanes.map((lane) =>
								h(
									"option",
									{ value: lane.replica, selected: lane.replica === tracks[place].replica },
									M.laneName(lane),
								),
							),
						),
				].filter(Boolean);
			// What is drawn stays until the new iterations are there.
			if (boxes.length !== to.runs.length) {
				M.empty(holder);
				boxes = to.runs.map((_run, place) => {
					const line = h("p", { class: "readout tall", "aria-live": "polite" }, "\u00a0"),
						title = h("h3", {}),
						none = h("p", { class: "bad", hidden: true }),
						cell = h("div", {});
					const box = { line, title, none, cell };
					holder.append(h("div", {}, title, none, cell));
					box.surface = M.surface(cell, HEIGHT, "The batch", (c, width) => {
						const window = box.track.window;
						paint(c, width, window, window ? box.track.at(t) : -1, t, place);
					});
					cell.append(line);
					M.saver(
						cell,
						"The batch, scheduler " + "AB"[place],
						box.surface,
						() => batchRows(box.track.window, box.track.at(t), t),
						() => [],
					);
					box.blocks = P.blocks(cell, place, () => {
						const window = box.track.window;
						return window ? { window, at: box.track.at(t) } : null;
					});
					return box;
				});
			} else
				boxes.forEach((box) => {
					M.onRedraw(box.surface.draw);
					M.onRedraw(box.blocks.draw);
				});
			boxes.forEach((box, place) => {
				box.track = tracks[place];
				box.label = to.runs[place].label;
				box.title.replaceChildren(...head(to.runs[place], place));
				const away = to.runs[place].turned_away,
					empty = to.runs[place].lanes.every((lane) => !lane.all.start_us.length);
				box.cell.hidden = empty;
				box.none.hidden = !empty;
				box.none.textContent = away && away[0] === away[1] ? M.allTurnedAway(away[1]) : "Nothing ran.";
			});
			const worst = to.runs[0].stalls[0];
			if (first && worst) showLane(0, worst.replica);
			const begin = () => M.cursor.at ?? (worst ? (worst.from_us + worst.to_us) / 2 : most * 0.3);
			go(first ? begin() : Math.min(t, most));
		},
		// The lane is the one that a stall stands in, where it is about one.
		to: (time, place, lane) => {
			stop();
			if (lane !== undefined) showLane(place, lane);
			go(time);
		},
		// What a question for an answer should ask besides, so that what is in view comes with it.
		wanted: () => (answer !== null && P.near("batch") ? { at_us: Math.floor(t), count: 60 } : undefined),
		// Where it stands, on the timeline.
		mark: () => {
			if (answer !== null) P.stands();
		},
		// Where the playhead stands, microseconds; null before anything was drawn.
		now: () => (answer === null ? null : t),
	};
})();
