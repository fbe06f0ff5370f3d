// A scenario in a link's fragment: `#d=` deflated (zlib, whose checksum tells a damaged link), `#u=` as
// it is after its checksum, both base64url. Older links, `#z=` and `#t=`, have no checksum.
// biome-ignore lint/correctness/noUnusedVariables: every script after this one uses it.
var Play = (() => {
	const P = /** @type {PlayParts} */ ({});
	const MOST = 1 << 20;
	const toBase64 = (bytes) => {
		let text = "";
		for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
		return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
	};
	P.fromBase64 = (text) =>
		Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
	const through = async (bytes, stream, most) => {
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
	P.encode = async (text) => {
		const bytes = new TextEncoder().encode(text);
		if (typeof CompressionStream === "undefined") return "#u=" + checksum(bytes) + toBase64(bytes);
		return "#d=" + toBase64(await through(bytes, new CompressionStream("deflate"), Infinity));
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
				bytes = await through(bytes, new DecompressionStream(zipped), MOST);
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
	// The text of a fragment; null where there is none. Whatever it holds is text and nothing else.
	P.decode = async (fragment) => {
		const form = fragment.slice(0, 3);
		if (!["#d=", "#u=", "#z=", "#t="].includes(form)) return null;
		if (fragment.length > 2 * MOST) throw new Error("longer than a scenario may be");
		const text = await unpack(form, fragment.slice(3));
		if (!text.trim()) throw new Error("empty");
		return text;
	};
	return P;
})();
