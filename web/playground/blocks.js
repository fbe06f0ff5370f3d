// A replica's KV blocks at the playhead: whose they are, which were found in a cache, which are free.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const CELL = 9,
		ROWS = 14;
	// A request has one colour in the batch and here.
	P.requestColor = (request) => "hsl(" + ((request * 67) % 360) + " " + (M.isDark() ? "45% 45%" : "60% 72%") + ")";
	const WHY = {
		seat: ["of a request in the batch or stalled (a colour is a request)", "plain"],
		fetch: ["kept until another replica has fetched it", "level"],
		arrival: ["its KV is on the way, or waits for a seat", "back"],
	};
	const legend = () =>
		M.legend([
			...Object.values(WHY).map(([name, pattern]) => ({ name, color: () => P.requestColor(3), pattern })),
			{ name: "found in a cache", color: () => P.requestColor(3), pattern: "dots" },
			{ name: "found in a cache, shared by several", color: () => M.css("--area-faint"), pattern: "dots" },
			{ name: "lost by a preemption just now", color: () => M.css("--bad"), pattern: "cross" },
			{ name: "free", color: () => M.css("--track"), pattern: "plain" },
		]);

	// Who holds what at a step of a window, from the changes of the steps before.
	const held = (window, at) => {
		const known = window.known && window.known.at <= at ? window.known : { at: -1, of: new Map(), before: new Map() };
		for (let k = known.at + 1; k <= at; k++) {
			const step = window.steps[k];
			// What was held before those who were preempted gave it back.
			if (step.preempted) known.before = new Map(known.of);
			(step.held || []).forEach(([request, blocks, found, why]) => {
				if (blocks) known.of.set(request, { request, blocks, found, why });
				else known.of.delete(request);
			});
		}
		known.at = at;
		window.known = known;
		return known;
	};
	// The same as stretches of the strip of blocks, one after the other; `used` is the simulator's own count.
	const parts = (window, at) => {
		const step = window.steps[at],
			{ of, before } = held(window, at),
			all = [...of.values()].sort((a, b) => a.request - b.request);
		const own = all.reduce((sum, one) => sum + one.blocks - one.found, 0),
			found = all.reduce((sum, one) => sum + one.found, 0),
			// Blocks that several found are there once.
			shared = Math.max(0, Math.min(found, step.kv_used - own)),
			apart = shared === found;
		const list = [];
		all.forEach((one) => {
			if (apart && one.found) list.push({ request: one.request, blocks: one.found, pattern: "dots", why: "found" });
			if (one.blocks > one.found)
				list.push({ request: one.request, blocks: one.blocks - one.found, pattern: WHY[one.why][1], why: one.why });
		});
		if (!apart && shared) list.unshift({ request: null, blocks: shared, pattern: "dots", why: "shared" });
		const rest = step.kv_used - own - shared;
		if (rest > 0) list.push({ request: null, blocks: rest, pattern: "plain", why: "rest" });
		const lost = (step.preempted || [])
			.map((request) => [request, before.get(request)?.blocks || 0])
			.filter(([, blocks]) => blocks > 0);
		return {
			list,
			all,
			rest: Math.max(0, rest),
			shared,
			found,
			apart,
			lost,
			used: step.kv_used,
			total: window.kv_blocks,
		};
	};
	const part = (one) =>
		({
			shared: "found in a cache, held by several requests",
			rest: "in use, whose is not told",
			found: "request " + one.request + ", found in a cache",
			fetch: "request " + one.request + ", kept until another replica has fetched them",
			arrival: "request " + one.request + ", on the way or waiting for a seat",
			lost: "lost just now by request " + one.request,
		})[one.why] || "request " + one.request;
	const words = (map, each) => {
		const most = [...map.all].sort((a, b) => b.blocks - a.blocks).slice(0, 3);
		return (
			"KV blocks: " +
			M.count(map.used) +
			" of " +
			M.count(map.total) +
			" used by " +
			M.count(map.all.length) +
			(map.all.length === 1 ? " request" : " requests") +
			(map.rest ? ", " + M.count(map.rest) + " blocks whose request is not told" : "") +
			(map.shared ? ", " + M.count(map.shared) + " blocks found in a cache and shared" : "") +
			(most.length ? "; most by " + most.map((one) => one.request + " (" + M.count(one.blocks) + ")").join(", ") : "") +
			(map.lost.length
				? "; lost just now: " + map.lost.map(([request, blocks]) => M.count(blocks) + " of " + request).join(", ")
				: "") +
			(each > 1 ? ". A cell stands for " + M.count(each) + " blocks" : "") +
			"."
		);
	};
	// Cells of a pool of `total` blocks: how many there are in a row, and how many blocks one stands for.
	const grid = (total, width) => {
		const across = Math.max(8, Math.floor(width / CELL)),
			each = Math.max(1, Math.ceil(total / (across * ROWS)));
		return { across, each, rows: Math.max(1, Math.ceil(total / each / across)) };
	};

	// Draws the map below a batch; `shown` gives the window of iterations and which of them.
	P.blocks = (parent, place, shown) => {
		const line = M.told("");
		const now = () => {
			const found = shown();
			return found?.window.steps[found.at] ? parts(found.window, found.at) : null;
		};
		// Walks over the strip, which goes on in the next row where one ends.
		const stretch = ({ across, each }, from, blocks, act) => {
			let at = from / each;
			const end = (from + blocks) / each;
			while (at < end - 1e-9) {
				const row = Math.floor(at / across + 1e-9),
					to = Math.min(end, (row + 1) * across);
				act((at - row * across) * CELL, row * CELL, (to - at) * CELL);
				at = to;
			}
		};
		const surface = M.surface(parent, CELL * ROWS, "KV blocks", (c, width) => {
			const map = now();
			if (!map) return;
			const cells = grid(map.total, width);
			c.fillStyle = M.css("--track");
			stretch(cells, 0, map.total, (x, y, wide) => c.fillRect(x, y, wide, CELL));
			let from = 0;
			map.list.forEach((one) => {
				const color =
					one.request === null ? M.css(one.why === "rest" ? "--area" : "--area-faint") : P.requestColor(one.request);
				c.fillStyle = M.fill(c, color, one.pattern);
				stretch(cells, from, one.blocks, (x, y, wide) => c.fillRect(x, y, wide, CELL));
				from += one.blocks;
				// Where one ends and the next begins.
				c.fillStyle = M.css("--card");
				stretch(cells, Math.max(0, from - cells.each * 0.12), cells.each * 0.12, (x, y, wide) =>
					c.fillRect(x, y, wide, CELL),
				);
			});
			c.strokeStyle = M.css("--bad");
			c.lineWidth = 1.5;
			map.lost.forEach(([, blocks]) => {
				const room = Math.min(blocks, map.total - from);
				stretch(cells, from, room, (x, y, wide) =>
					c.strokeRect(x + 0.75, y + 0.75, Math.max(1, wide - 1.5), CELL - 1.5),
				);
				from += room;
			});
			// The cells.
			c.strokeStyle = M.css("--card");
			c.lineWidth = 1;
			c.beginPath();
			for (let k = 1; k < cells.across; k++) {
				c.moveTo(k * CELL + 0.5, 0);
				c.lineTo(k * CELL + 0.5, cells.rows * CELL);
			}
			for (let k = 1; k <= cells.rows; k++) {
				c.moveTo(0, k * CELL - 0.5);
				c.lineTo(cells.across * CELL, k * CELL - 0.5);
			}
			c.stroke();
		});
		const canvas = surface.canvas;
		const under = (event) => {
			const map = now();
			if (!map) return null;
			const { across, each } = grid(map.total, surface.width),
				column = Math.floor(event.offsetX / CELL);
			if (column >= across) return null;
			const block = (Math.floor(event.offsetY / CELL) * across + event.offsetX / CELL) * each;
			let from = 0;
			for (const one of [...map.list, ...map.lost.map(([request, blocks]) => ({ request, blocks, why: "lost" }))]) {
				if (block < from + one.blocks) return one;
				from += one.blocks;
			}
			return block < map.total ? { request: null, blocks: map.total - map.used, why: "free" } : null;
		};
		const told = () => {
			const map = now();
			return map ? words(map, grid(map.total, surface.width || 500).each) : "";
		};
		surface.on("pointermove", (event) => {
			const one = under(event);
			canvas.style.cursor = one?.request != null ? "pointer" : "default";
			line.textContent = one
				? M.count(one.blocks) +
					(one.blocks === 1 ? " block: " : " blocks: ") +
					(one.why === "free" ? "free" : part(one)) +
					"."
				: told();
		});
		surface.on("pointerleave", () => {
			line.textContent = told();
		});
		surface.on("click", (event) => {
			const one = under(event);
			if (one?.request != null) P.readers.pick(one.request);
		});
		parent.append(line);
		if (place === 0) parent.append(h("details", {}, h("summary", {}, "What the blocks' fills mean"), legend()));
		M.saver(
			parent,
			"KV blocks, scheduler " + "AB"[place],
			surface,
			() => [
				["request", "blocks", "found in a cache", "why"],
				(now()?.all || []).map((one) => [one.request, one.blocks, one.found, one.why]),
			],
			() => [],
		);
		return {
			draw: () => surface.draw(),
			tell: () => {
				const text = told();
				line.textContent = text;
				canvas.setAttribute("aria-label", text || "KV blocks");
				const map = now(),
					tall = CELL * (map && surface.width ? grid(map.total, surface.width).rows : ROWS);
				if (surface.height !== tall) {
					surface.height = tall;
					canvas.style.height = tall + "px";
				}
			},
		};
	};
})();
