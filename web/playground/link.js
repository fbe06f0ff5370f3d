// What a link's fragment holds, as `name=value` with `&` between: the scenario, `d=` deflated (zlib, whose
// checksum tells a damaged link) or `u=` as it is after its checksum, both base64url, and where the page
// stood. Older links, `z=` and `t=`, have no checksum.
// biome-ignore lint/correctness/noUnusedVariables: every script after this one uses it.
var Play = (() => {
	const P = /** @type {PlayParts} */ ({});
	const MOST = 1 << 20;
	const toBase64 = (bytes) => {
		let text = "";
		for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
		return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
	};
	P.fromBase64 = (text) => {
		const decoded = atob(text.replaceAll("-", "+").replaceAll("_", "/")),
			bytes = new Uint8Array(decoded.length);
		for (let k = 0; k < bytes.length; k++) bytes[k] = decoded.charCodeAt(k);
		return bytes;
	};
	P.through = async (bytes, stream, most) => {
		const writer = stream.writable.getWriter(),
			parts = [];
		// What goes wrong shows on the reading side.
		writer.write(bytes).catch(() => {});
		writer.close().catch(() => {});
		let size = 0;
		for (const reader = stream.readable.getReader(); ; ) {
			const { value, done } = await reader.read();
			if (done) break;
			size += value.length;
			if (size > most) {
				reader.cancel().catch(() => {});
				throw new Error("longer than a scenario may be");
			}
			parts.push(value);
		}
		const all = new Uint8Array(size);
		let at = 0;
		for (const part of parts) {
			all.set(part, at);
			at += part.length;
		}
		return all;
	};
	// Adler-32, which zlib has at its end.
	const checksum = (bytes) => {
		let [a, b] = [1, 0];
		for (const byte of bytes) {
			a = (a + byte) % 65521;
			b = (b + a) % 65521;
		}
		return (b * 65536 + a).toString(16).padStart(8, "0");
	};
	P.pack = async (text) => {
		const bytes = new TextEncoder().encode(text);
		if (typeof CompressionStream === "undefined") return "#u=" + checksum(bytes) + toBase64(bytes);
		return "#d=" + toBase64(await P.through(bytes, new CompressionStream("deflate"), Infinity));
	};
	const DAMAGED = "cut off, or changed on its way";
	// What a fragment's bytes say, or why they say nothing.
	const unpack = async (form, packed) => {
		const sum = form === "#u=" ? packed.slice(0, 8) : "";
		let bytes;
		try {
			bytes = P.fromBase64(packed.slice(sum.length));
		} catch (_) {
			throw new Error("not in the letters of a link");
		}
		if (sum && checksum(bytes) !== sum) throw new Error(DAMAGED);
		const zipped = { "#d=": "deflate", "#z=": "deflate-raw" }[form];
		if (zipped) {
			try {
				bytes = await P.through(bytes, new DecompressionStream(zipped), MOST);
			} catch (error) {
				throw error instanceof TypeError ? new Error(DAMAGED) : error;
			}
		}
		try {
			return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
		} catch (_) {
			throw new Error("not text");
		}
	};
	// A number of a link.
	const number = (text, name) => {
		if (!/^\d{1,15}(\.\d{1,6})?$/.test(text)) throw new Error("`" + name + "` is no number");
		return Number(text);
	};
	const counted = (text, name) => {
		const at = number(text, name);
		if (at < 1 || at % 1) throw new Error("`" + name + "` is numbered from 1");
		return at - 1;
	};
	const list = (text) => text.split("-");
	// What else a link may hold beside its scenario, and how it is read.
	const READ = {
		show: (text) => list(text).map((one) => number(one, "show")),
		at: (text) => number(text, "at"),
		zoom: (text) => {
			const [from, to, ...more] = list(text).map((one) => number(one, "zoom"));
			if (!(to > from) || more.length) throw new Error("`zoom` is no stretch of time");
			return [from, to];
		},
		request: (text) => number(text, "request"),
		rows: (text) => {
			if (text !== "sessions") throw new Error("`rows` is sessions");
			return text;
		},
		lesson: (text) => counted(text, "lesson"),
		step: (text) => counted(text, "step"),
		plan: (text) => {
			P.planLink.read(text);
			return text;
		},
		theme: (text) => {
			if (text !== "light" && text !== "dark") throw new Error("`theme` is light or dark");
			return text;
		},
		embed: (text) => (text ? text.split(",") : []),
	};
	const scenario = async (form, packed, most) => {
		if (packed.length > 2 * most) throw new Error("longer than a scenario may be");
		const text = await unpack("#" + form + "=", packed);
		if (!text.trim()) throw new Error("empty");
		return text;
	};
	// All that a fragment says: `text`, the scenario, and where the page stood. Whatever it holds is text
	// and numbers and nothing else; what cannot be read is an error, never a guess.
	P.decode = async (fragment) => {
		const state = /** @type {PlayState} */ ({ text: null });
		// A place of the page itself.
		if (/^#[a-z-]+$/.test(fragment) && document.getElementById(fragment.slice(1))) return state;
		for (const part of fragment.replace(/^#/, "").split("&")) {
			if (!part && fragment.length < 2) continue;
			const cut = part.indexOf("="),
				name = cut < 0 ? part : part.slice(0, cut),
				value = cut < 0 ? "" : part.slice(cut + 1);
			if (["d", "u", "z", "t"].includes(name)) state.text = await scenario(name, value, MOST);
			else if (name === "before") state.before = await scenario("d", value, MOST);
			else if (Object.hasOwn(READ, name)) state[name] = READ[name](value);
			else throw new Error("`" + name.slice(0, 20) + "` is nothing that a link of this page holds");
		}
		return state;
	};
	// The fragment that leads back to a state.
	P.encode = async (state) => {
		const parts = [];
		if (state.text != null) parts.push((await P.pack(state.text)).slice(1));
		if (state.before != null) parts.push("before=" + (await P.pack(state.before)).slice(3));
		if (state.show?.length) parts.push("show=" + state.show.join("-"));
		if (state.at != null) parts.push("at=" + Math.round(state.at));
		if (state.zoom) parts.push("zoom=" + state.zoom.map(Math.round).join("-"));
		if (state.request != null) parts.push("request=" + state.request);
		if (state.rows) parts.push("rows=" + state.rows);
		if (state.lesson != null) parts.push("lesson=" + (state.lesson + 1));
		if (state.step != null) parts.push("step=" + (state.step + 1));
		if (state.plan != null) parts.push("plan=" + state.plan);
		if (state.theme) parts.push("theme=" + state.theme);
		if (state.embed) parts.push("embed=" + state.embed.join(","));
		return parts.length ? "#" + parts.join("&") : "";
	};
	return P;
})();
