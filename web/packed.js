// Every iteration of a long run, kept packed in the page (src/view/packed.rs says how) and unpacked a
// block at a time, when it is looked at.
(() => {
	const M = Metron;
	// Blocks kept unpacked, a megabyte or so each.
	const KEPT = 16,
		LISTED = 6;

	const bytesOf = (base64) => {
		const text = atob(base64),
			bytes = new Uint8Array(text.length);
		for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
		return bytes;
	};
	const inflated = async (bytes) =>
		new Uint8Array(
			await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer(),
		);
	// The numbers of a block, one after the other.
	const reader = (bytes) => {
		let at = 0;
		const next = () => {
			let byte = bytes[at++];
			if (byte < 128) return byte;
			let number = byte & 127,
				scale = 128;
			do {
				byte = bytes[at++];
				number += (byte & 127) * scale;
				scale *= 128;
			} while (byte > 127);
			return number;
		};
		const signed = () => {
			const n = next();
			return n % 2 ? -(n + 1) / 2 : n / 2;
		};
		return { next, signed };
	};
	const unpack = (bytes) => {
		const { next, signed } = reader(bytes),
			n = next(),
			numbers = () => new Float64Array(n);
		const sums = () => {
			const list = numbers();
			for (let k = 0, sum = 0; k < n; k++) list[k] = sum += signed();
			return list;
		};
		const plain = () => {
			const list = numbers();
			for (let k = 0; k < n; k++) list[k] = next();
			return list;
		};
		const start = numbers(),
			end = numbers();
		for (let k = 0; k < n; k++) start[k] = signed();
		const span = sums(),
			decodes = sums(),
			kv = sums(),
			waiting = sums(),
			chunks = plain(),
			tokens = plain();
		for (let k = 0, at = 0; k < n; k++) {
			start[k] += at;
			at = end[k] = start[k] + span[k];
		}
		const whose = new Uint32Array(n + 1),
			request = [],
			part = [];
		for (let k = 0, last = 0; k < n; k++) {
			for (let c = Math.min(chunks[k], LISTED); c > 0; c--) {
				last += signed();
				request.push(last);
				const of = next();
				part.push(of);
				tokens[k] += of;
			}
			whose[k + 1] = request.length;
		}
		return { n, start, end, span, decodes, kv, waiting, chunks, tokens, whose, request, part };
	};

	const here = () =>
		document.readyState === "loading"
			? new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }))
			: null;
	const lines = new Map(),
		blocks = new Map();
	const block = (packed, number) => {
		const key = packed.id + "-" + number;
		let found = blocks.get(key);
		// The one asked for last is let go last.
		blocks.delete(key);
		if (!found) {
			found = (async () => {
				await here();
				if (!lines.has(packed.id))
					lines.set(packed.id, document.getElementById("packed-" + packed.id).textContent.split("\n"));
				return unpack(await inflated(bytesOf(lines.get(packed.id)[number])));
			})();
		}
		blocks.set(key, found);
		if (blocks.size > KEPT) blocks.delete(blocks.keys().next().value);
		return found;
	};

	const before = (list, t, orAt) => {
		let low = 0,
			high = list.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (orAt ? list[mid] <= t : list[mid] < t) low = mid + 1;
			else high = mid;
		}
		return low;
	};

	// The iterations of a stretch of time, microseconds, as columns of a timeline; places: the numbers
	// between which they are to be looked for.
	M.unpacked = async (lane, from_us, to_us, places) => {
		const { block: each } = lane.packed,
			first = Math.floor(places[0] / each),
			last = Math.floor(Math.min(places[1], lane.iterations - 1) / each);
		const parts = await Promise.all(Array.from({ length: last - first + 1 }, (_, k) => block(lane.packed, first + k)));
		const cuts = parts
			.map((part) => [before(part.end, from_us, true), before(part.start, to_us, false)])
			.map(([a, b]) => [a, Math.max(a, b)]);
		const n = cuts.reduce((sum, [a, b]) => sum + b - a, 0),
			start_us = new Float64Array(n);
		const joined = (name) => {
			const list = new Float64Array(n);
			let at = 0;
			parts.forEach((part, k) => {
				list.set(part[name].subarray(...cuts[k]), at);
				at += cuts[k][1] - cuts[k][0];
			});
			return list;
		};
		const starts = joined("start"),
			who = { column: [], request: [], tokens: [] };
		starts.forEach((start, k) => {
			start_us[k] = k ? start - starts[k - 1] : start;
		});
		let at = 0,
			told = 0;
		parts.forEach((part, k) => {
			for (let i = cuts[k][0]; i < cuts[k][1]; i++, at++)
				for (let c = part.whose[i]; c < part.whose[i + 1]; c++) {
					who.column.push(at - told);
					told = at;
					who.request.push(part.request[c]);
					who.tokens.push(part.part[c]);
				}
		});
		const begin = parts.findIndex((_, k) => cuts[k][1] > cuts[k][0]);
		return {
			each: 1,
			first: begin < 0 ? 0 : (first + begin) * each + cuts[begin][0],
			start_us,
			span_us: joined("span"),
			decodes: joined("decodes"),
			prefill_tokens: joined("tokens"),
			chunks: joined("chunks"),
			kv: joined("kv"),
			waiting: joined("waiting"),
			who,
		};
	};
	M.canUnpack = typeof DecompressionStream === "function";
})();
