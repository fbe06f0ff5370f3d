// Puts the parts together: what is asked for, the newest question first, and what came back.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const by = (id) => document.getElementById(id);
	const DEFAULT =
		"name: playground\nseed: 1\nmodel: llama-3.1-8b\ngpu: h100-sxm\nengine: {profile: vllm-0.6}\nschedulers:\n  - vllm-v0: {}\n  - sarathi: {chunk_size: 512}\nworkload:\n  requests: 300\n  arrivals: {poisson: {rate: 3}}\n  lengths:\n    prompt: {lognormal: {mean: 4000, sigma: 0.6}}\n    output: {lognormal: {mean: 200, sigma: 0.6}}\nslo:\n  ttft: {prefill_curve_plus: 300ms}\n  tbt: 20ms\n  fluidity: {index: 0.9, share: 0.99}\n";
	let text = DEFAULT,
		pending = [],
		shown = [],
		running = false,
		wanted = false,
		timer = null,
		settings = null,
		mark = null;
	// What was played last, and before and after it, for going back and forth.
	let played = null,
		past = [],
		later = [],
		moving = false;
	const KEPT = 100;
	P.text = () => text;
	P.say = (words) => {
		by("status").textContent = words;
	};
	P.isBusy = () => running || wanted;

	const field = (set) => set.slice(0, set.indexOf("="));
	// Sets fields: the newest value of each wins.
	P.change = (sets) => {
		pending = pending.filter((one) => !sets.some((set) => field(set) === field(one)));
		pending.push(...sets);
		if (sets.some((set) => set.startsWith("schedulers="))) shown = [];
		want(0);
	};
	P.load = (to, typed) => {
		text = to;
		pending = [];
		shown = [];
		if (!typed) P.editor.show(to);
		want(typed ? 0 : 10);
	};
	// Back to what was played before: from a scenario that could not be, to the last one that could.
	P.undo = () => {
		if (played === null) return;
		if (text !== played || pending.length) {
			moving = true;
			P.load(played);
		} else if (past.length) {
			later.push(played);
			moving = true;
			P.load(past.pop());
		}
	};
	P.redo = () => {
		if (!later.length) return;
		past.push(played);
		moving = true;
		P.load(later.pop());
	};
	const undo = h("button", { type: "button", class: "of-scenario", onclick: () => P.undo(), disabled: true }, "Undo"),
		redo = h("button", { type: "button", class: "of-scenario", onclick: () => P.redo(), disabled: true }, "Redo");
	// One step for a drag of a slider, or for a stretch of typing.
	let steppedAt = -Infinity,
		steppedOn = "";
	// quiet: no step of the reader's, neither for "Undo" nor for "back".
	const remember = (answer, on, quiet) => {
		const now = performance.now(),
			goesOn = on === steppedOn && now - steppedAt < 1500;
		if (!moving && !quiet && played !== null && answer.text !== played) {
			if (!goesOn) past.push(played);
			if (past.length > KEPT) past.shift();
			later = [];
			steppedAt = now;
			steppedOn = on;
		}
		if (moving) steppedOn = "";
		moving = false;
		P.stands(answer.text !== played && !goesOn && !quiet);
		played = answer.text;
		undo.disabled = !past.length;
		redo.disabled = !later.length;
	};
	P.show = (places) => {
		shown = places;
		want(10);
	};
	const want = (delay) => {
		wanted = true;
		P.sweep.stop();
		clearTimeout(timer);
		timer = setTimeout(run, delay);
	};
	const run = async () => {
		if (running) return;
		running = true;
		wanted = false;
		const sent = pending.slice(),
			from = text,
			began = performance.now();
		by("results").setAttribute("aria-busy", "true");
		const answer = await P.ask({
			op: "simulate",
			scenario: { text: from, set: sent, show: shown },
			steps: P.batches.wanted(),
		});
		running = false;
		by("results").removeAttribute("aria-busy");
		if (text === from) {
			pending = pending.filter((one) => !sent.includes(one));
			if (answer.ok) take(answer, began, sent.map(field).join());
			else problems(answer);
		} else if (text !== played) wanted = true;
		if (wanted || pending.length) want(0);
	};

	// began: when it was asked for; null for an answer that was there already.
	const take = (answer, began, on, quiet) => {
		remember(answer, on, quiet);
		P.hold();
		text = answer.text;
		shown = answer.shown;
		by("problems").hidden = true;
		by("results").classList.remove("old");
		P.editor.show(text);
		// What the answer before drew listens to nothing any more.
		if (mark !== null) M.release(mark);
		settings.draw(answer);
		mark = M.mark();
		P.draw(answer);
		const offered = answer.results[0] ? answer.results[0].requests.offered : 0;
		const told = (name) => {
			const one = answer.figures.find((figure) => figure.name === name);
			return one ? P.figureTexts(one).join(" against ") : "-";
		};
		P.say(
			M.unbroken(
				(answer.fitted ? answer.fitted + ". " : "") +
					M.count(offered) +
					(offered === 1 ? " request" : " requests") +
					(began == null ? "" : " in " + Math.round(performance.now() - began) + " ms") +
					". Fluid: " +
					told("Fluid requests") +
					". Longest pause: " +
					told("Longest pause") +
					".",
			),
		);
		document.title = answer.title + " - metron-sim playground";
		P.answer = answer;
		document.documentElement.dataset.ready = "yes";
		document.documentElement.dataset.answers = String(Number(document.documentElement.dataset.answers || 0) + 1);
	};
	// What was played a while ago, beside what is played now.
	const pin = h("button", { type: "button", "aria-pressed": "false" }, "Keep these as \u201cbefore\u201d");
	P.pin = (answer) => {
		P.before = answer && { text: answer.text, figures: answer.figures, labels: answer.runs.map((run) => run.label) };
		pin.textContent = P.before ? "Forget \u201cbefore\u201d" : "Keep these as \u201cbefore\u201d";
		pin.setAttribute("aria-pressed", String(Boolean(P.before)));
		if (P.answer) P.figures(P.answer);
	};
	pin.addEventListener("click", () => {
		P.pin(P.before ? null : P.answer);
		P.stands(true);
	});
	by("figures").insertBefore(h("div", { class: "controls" }, pin), by("figures-body"));
	P.taken = (answer, quiet) => {
		text = answer.text;
		pending = [];
		wanted = false;
		clearTimeout(timer);
		take(answer, null, "lesson", quiet);
	};

	const problems = (answer) => {
		if (answer.text != null) {
			text = answer.text;
		}
		P.editor.show(text);
		P.editor.mark(answer.problems.filter((one) => one.line && !one.file).map((one) => one.line));
		by("problem-list").replaceChildren(
			...answer.problems.map((one) => {
				const here = one.line && !one.file;
				return h(
					"li",
					{},
					here &&
						h("button", { type: "button", onclick: () => P.editor.goto(one.line, one.column) }, "Line " + one.line),
					here && " ",
					one.path && h("code", {}, one.path + ": "),
					one.message,
					one.help && h("span", { class: "help" }, one.help),
				);
			}),
		);
		by("problems").hidden = false;
		by("back").hidden = played === null;
		undo.disabled = played === null;
		by("results").classList.add("old");
		P.say(
			(answer.problems.length === 1 ? "1 problem: " : answer.problems.length + " problems, the first: ") +
				(answer.problems[0].line && !answer.problems[0].file ? "line " + answer.problems[0].line + ": " : "") +
				answer.problems[0].message,
		);
		document.documentElement.dataset.ready = "problems";
	};

	// Only these parts of the page, for a frame in another one.
	P.embed = (parts) => {
		P.embedded = parts;
		document.body.classList.toggle("embed", Boolean(parts));
		const known = [...document.querySelectorAll("#drawn > section")];
		const wanted = (parts || []).filter((id) => known.some((one) => one.id === id));
		known.forEach((section) =>
			section.classList.toggle("left-out", Boolean(parts) && wanted.length > 0 && !wanted.includes(section.id)),
		);
		by("whole").hidden = !parts;
	};
	by("whole-link").addEventListener("click", async (event) => {
		event.preventDefault();
		window.open(await P.address(null), "_blank", "noopener");
	});

	const begin = async () => {
		M.redrawAll();
		// On a phone the results come first; the settings unfold above them.
		if (window.matchMedia("(max-width: 900px)").matches)
			/** @type {HTMLDetailsElement} */ (by("settings-fold")).open = false;
		const catalog = await P.ask({ op: "catalog" });
		if (!catalog.ok) {
			problems(catalog);
			return;
		}
		settings = P.settings(by("settings"), catalog);
		by("to-words").addEventListener("click", () => {
			const words = by("words");
			words.querySelectorAll("details").forEach((one) => {
				one.open = true;
			});
			P.part("words");
			const first = words.querySelector("summary");
			if (first) first.focus({ preventScroll: true });
		});
		by("back").addEventListener("click", () => P.undo());
		by("contents").append(
			...[...document.querySelectorAll("#drawn > section, #yaml")].map((section) => {
				const heading = section.querySelector("h2");
				return h(
					"button",
					{
						type: "button",
						class: "link-like",
						onclick: () => {
							P.part(section.id);
							heading.tabIndex = -1;
							heading.focus({ preventScroll: true });
						},
					},
					heading.textContent,
				);
			}),
		);
		by("tools").append(
			P.tour(catalog),
			P.plan.begin(catalog),
			undo,
			redo,
			h(
				"button",
				{
					type: "button",
					class: "of-scenario",
					onclick: () => {
						P.part("yaml");
						P.share();
					},
				},
				"Share",
			),
			M.themeToggle(),
		);
		const begun = () => P.data.scenario || DEFAULT;
		const notice = (words) => {
			by("notice").textContent = words;
			by("notice").hidden = false;
		};
		const given = async () => {
			by("notice").hidden = true;
			try {
				return await P.decode(location.hash);
			} catch (error) {
				// It stays until another link is opened: the scenario that is played instead is not the one
				// that was meant.
				notice(
					"This link is damaged and is not opened (" +
						error.message +
						"). Ask for it again, or copy all of it. What stands below is " +
						(played === null ? "the playground's own scenario." : "what was played before."),
				);
				return null;
			}
		};
		// Shows what a link says; without a scenario `otherwise`, or what is there already.
		const show = async (state, otherwise) => {
			P.embed(state.embed);
			if (state.theme) M.theme(state.theme);
			const to = state.text != null ? state.text : otherwise;
			const before = state.before ?? null;
			if (before !== (P.before ? P.before.text : null)) {
				const answer = before == null ? null : await P.ask({ op: "simulate", scenario: { text: before } });
				P.pin(answer?.ok ? answer : null);
			}
			const anew = to != null && to !== played;
			P.opened(state, anew);
			if (anew) {
				shown = state.show || [];
				text = to;
				pending = [];
				P.editor.show(to);
				want(10);
			} else if (state.show && P.answer && String(state.show) !== String(P.answer.shown)) P.show(state.show);
			P.plan.show(state.plan);
			const lessons = catalog.lessons.length,
				parts = [...document.querySelectorAll("#drawn > section")].map((one) => one.id),
				unknown = (state.embed || []).filter((id) => !parts.includes(id));
			if (state.lesson >= lessons)
				notice("There is no lesson " + (state.lesson + 1) + ": this is the last, " + lessons + ".");
			if (unknown.length)
				notice("No part of the page is called \u201c" + unknown[0] + "\u201d: there are " + parts.join(", ") + ".");
			if (!state.embed) P.teach(state.lesson ?? null, state.step, state.text != null);
		};
		window.addEventListener("hashchange", async () => {
			if (!P.isOther()) return;
			const state = await given();
			// Without a fragment the page stands as it began.
			if (state && !location.hash.slice(1)) await show(state, begun());
			// A place of the page itself is no other state.
			else if (state && (state.text != null || Object.keys(state).length > 1)) await show(state, null);
		});
		["pointerdown", "keydown"].forEach((kind) => window.addEventListener(kind, P.note, { once: true, capture: true }));
		M.onRedraw(() => P.stands());
		const state = await given();
		await show(state || {}, begun());
	};
	begin();
})();
