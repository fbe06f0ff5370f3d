// Who answers: the server that the page came from, or the engine inside the page.
(() => {
	const P = Play;
	P.data = JSON.parse(document.getElementById("data").textContent);

	// The engine as WebAssembly: `reserve(n)` gives room for a question, `answer(n)` answers it,
	// `output()` tells where.
	const engineOf = async (bytes) => {
		const { instance } = await WebAssembly.instantiate(bytes, {});
		const e = /** @type {Record<string, any>} */ (instance.exports);
		return (text) => {
			const question = new TextEncoder().encode(text);
			// Memory may grow in here, and then its buffer is another.
			const room = e.reserve(question.length);
			new Uint8Array(e.memory.buffer, room, question.length).set(question);
			const length = e.answer(question.length);
			return new TextDecoder().decode(new Uint8Array(e.memory.buffer, e.output(), length));
		};
	};
	const inWorker = (bytes) => {
		const source =
			"const engineOf = " +
			engineOf.toString() +
			";\nlet engine = null;\nonmessage = async ({ data }) => { try { if (data.bytes) { engine = await engineOf(data.bytes); postMessage({ ready: true }); } else postMessage({ id: data.id, text: engine(data.text) }); } catch (error) { postMessage({ id: data.id, error: String(error) }); } };";
		const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
		return new Promise((resolve, reject) => {
			const waiting = new Map();
			let next = 0;
			const ask = (text) =>
				new Promise((done, failed) => {
					waiting.set(++next, [done, failed]);
					worker.postMessage({ id: next, text });
				});
			worker.onerror = (event) => reject(new Error(event.message || "no worker"));
			worker.onmessage = ({ data }) => {
				if (data.ready) {
					resolve(ask);
					return;
				}
				const one = waiting.get(data.id);
				if (!one) {
					reject(new Error(data.error));
					return;
				}
				waiting.delete(data.id);
				if (data.error) one[1](new Error(data.error));
				else one[0](data.text);
			};
			worker.postMessage({ bytes });
		});
	};
	const byServer = async (text) => {
		const answer = await fetch("answer", {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: text,
		});
		if (!answer.ok) throw new Error("the server says " + answer.status + ": " + (await answer.text()).trim());
		return answer.text();
	};

	let engine = null;
	const find = async () => {
		if (P.data.mode === "server") {
			if (location.protocol === "file:")
				throw new Error("this page was saved from a server and holds no engine of its own");
			return byServer;
		}
		if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly, or forbids it");
		if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old to unpack the engine");
		const packed = document.getElementById("module").textContent;
		const bytes = await P.through(P.fromBase64(packed), new DecompressionStream("deflate"), Infinity);
		try {
			return await inWorker(bytes);
		} catch (_) {
			const answer = await engineOf(bytes);
			return async (text) => answer(text);
		}
	};
	// Asks, and gives the answer as data.
	P.ask = async (question) => {
		engine = engine || find();
		try {
			return JSON.parse(await (await engine)(JSON.stringify(question)));
		} catch (error) {
			return {
				ok: false,
				problems: [
					{
						path: "",
						message: "no answer: " + error.message,
						help:
							P.data.mode !== "server"
								? "another browser, or `metron-sim serve`, can run it"
								: location.protocol === "file:"
									? "`metron-sim serve` starts the server; `metron-sim serve --export DIR --wasm FILE` writes a page that opens from disk"
									: "is `metron-sim serve` still running?",
					},
				],
				text: null,
			};
		}
	};
})();
