// Who answers: the server that the page came from, or the engine inside the page.
(() => {
	const P = Play;
	P.data = JSON.parse(document.getElementById("data").textContent);
	if (P.data.mode === "server")
		document.getElementById("leaves").textContent =
			"What you set goes to the program that serves this page, and no further.";

	// The engine as WebAssembly: `reserve(n)` gives room for a question, `answer(n)` answers it,
	// `output()` tells where; while a long question is worked on, it says how far that has come.
	const engineOf = async (bytes, tell) => {
		let e = null;
		const text = (at, length) => new TextDecoder().decode(new Uint8Array(e.memory.buffer, at, length));
		const page = { tell: (at, length) => tell(text(at, length)) };
		const { instance } = await WebAssembly.instantiate(bytes, { page });
		e = /** @type {Record<string, any>} */ (instance.exports);
		return (asked) => {
			const question = new TextEncoder().encode(asked);
			// Memory may grow in here, and then its buffer is another.
			const room = e.reserve(question.length);
			new Uint8Array(e.memory.buffer, room, question.length).set(question);
			const length = e.answer(question.length);
			return text(e.output(), length);
		};
	};
	const inWorker = (bytes, tell) => {
		const source =
			"const engineOf = " +
			engineOf.toString() +
			";\nlet engine = null;\nonmessage = async ({ data }) => { try { if (data.bytes) { engine = await engineOf(data.bytes, (told) => postMessage({ told })); postMessage({ ready: true }); } else postMessage({ id: data.id, text: engine(data.text) }); } catch (error) { postMessage({ id: data.id, error: String(error) }); } };";
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
				if (data.told) {
					tell(data.told);
					return;
				}
				if (data.ready) {
					resolve({ ask, end: () => worker.terminate() });
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
	// Of an answer that comes line by line all but the last tell how far it has come.
	const byServer = async (text, tell, signal) => {
		const answer = await fetch("answer", {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: text,
			signal,
		});
		if (!answer.ok) throw new Error("the server says " + answer.status + ": " + (await answer.text()).trim());
		if (!answer.headers.get("content-type").includes("ndjson")) return answer.text();
		const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
		let rest = "";
		for (;;) {
			const { value, done } = await reader.read();
			if (done) throw new Error("the answer broke off");
			const lines = (rest + value).split("\n");
			rest = lines.pop();
			for (const line of lines) {
				if (!line.startsWith('{"told"')) return line;
				tell(line);
			}
		}
	};

	let module = null,
		engine = null;
	const unpack = async () => {
		if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly, or forbids it");
		const packed = P.fromBase64(document.getElementById("module").textContent);
		const { XzReadableStream } = globalThis["xz-decompress"];
		return new Uint8Array(await new Response(new XzReadableStream(new Blob([packed]).stream())).arrayBuffer());
	};
	const started = async (tell) => {
		if (P.data.mode === "server") {
			if (location.protocol === "file:")
				throw new Error("this page was saved from a server and holds no engine of its own");
			return { ask: byServer, end: () => {} };
		}
		module = module || unpack();
		const bytes = await module;
		try {
			return await inWorker(bytes, tell);
		} catch (_) {
			const answer = await engineOf(bytes, tell);
			return { ask: async (text) => answer(text), end: () => {} };
		}
	};
	const failed = (error) => ({
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
	});
	// Asks, and gives the answer as data.
	P.ask = async (question) => {
		engine = engine || started(() => {});
		try {
			return JSON.parse(await (await engine).ask(JSON.stringify(question)));
		} catch (error) {
			return failed(error);
		}
	};
	// Asks what can wait, beside all else: the answers of `ask` come as soon as ever. With `signal` it is
	// ended, with null in place of an answer.
	let second = null;
	P.askBeside = async (question, signal) => {
		second = second || started(() => {});
		try {
			const text = await (await second).ask(JSON.stringify(question), () => {}, signal);
			return signal.aborted ? null : JSON.parse(text);
		} catch (error) {
			return signal.aborted ? null : failed(error);
		}
	};
	// Asks what takes long, beside all else: `tell` hears how far it has come, and `signal` ends it, with
	// null in place of an answer.
	P.askLong = async (question, tell, signal) => {
		const told = (line) => signal.aborted || tell(JSON.parse(line).told);
		const ended = new Promise((done) => signal.addEventListener("abort", () => done(null)));
		let own = null;
		const answer = async () => {
			own = await started(told);
			return signal.aborted ? null : JSON.parse(await own.ask(JSON.stringify(question), told, signal));
		};
		try {
			return await Promise.race([ended, answer()]);
		} catch (error) {
			return signal.aborted ? null : failed(error);
		} finally {
			own?.end();
		}
	};
})();
