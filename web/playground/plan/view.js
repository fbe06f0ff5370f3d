// The plan's part of the page: opened and left, asked with progress and an end to it, found again by its link.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const by = (id) => document.getElementById(id);
	const KEPT = 20;
	const planner = by("planner"),
		body = by("planner-answer");
	let catalog = null,
		form = null,
		button = null,
		isOpen = false,
		// What was asked last, as a link has it, and what came of questions before.
		asked = "",
		running = null,
		shown = null;
	const answers = new Map();

	const said = h("p", { class: "hint", role: "status" }),
		bar = h("progress", { "aria-label": "How far the plan has come", max: 1 }),
		far = h("p", { class: "hint" }),
		cancel = h("button", { type: "button", onclick: () => running?.abort() }, "Cancel"),
		progress = h("div", { class: "plan-progress", hidden: true }, h("div", { class: "controls" }, bar, cancel), far);
	const go = h("button", { type: "submit", class: "primary" }, "Find the cheapest");

	const act = {
		address: () => P.address(null),
		open: (text) => {
			leave();
			P.load(text);
			window.scrollTo({ top: 0 });
		},
		keep: async (text, gpu) => {
			said.textContent = "Simulating " + gpu + ".";
			const answer = await P.ask({ op: "simulate", scenario: { text } });
			if (answer.ok) P.pin(answer);
			P.stands(true);
			said.textContent = answer.ok
				? "The figures of " + gpu + " are kept as \u201cbefore\u201d: open another to see both."
				: answer.problems.map((one) => one.message).join("; ");
		},
	};
	const draw = (answer) => {
		shown = answer;
		if (answer) P.planAnswer(body, answer, act);
		else M.empty(body);
	};

	const check = async () => {
		const answer = await P.ask({ op: "plan", asked: form.values(), check: true });
		form.mark(answer.ok ? [] : answer.problems);
		return answer.ok;
	};
	// How long it will take by the pace so far: some runs are longer than others, so that it is a guess.
	const tellSince = (began) => (told) => {
		const passed = (performance.now() - began) / 1000,
			left = told.played ? (passed * (told.requests - told.played)) / told.played : null;
		// What there is to choose from is not known yet.
		if (!told.cells) return;
		bar.value = told.requests ? told.played / told.requests : 0;
		far.textContent =
			told.decided +
			" of " +
			told.cells +
			" cells decided, " +
			M.count(told.played) +
			" of about " +
			M.count(told.requests) +
			" requests played, " +
			(left == null ? "no estimate yet" : "about " + M.seconds(left) + " left");
	};
	const problems = (answer) => {
		form.mark(answer.problems);
		said.textContent = answer.problems.map((one) => one.message + (one.help ? " (" + one.help + ")" : "")).join("; ");
	};
	// Asks what the form says; a step of the page's history where someone pressed the button.
	const ask = async (isStep) => {
		const question = form.values();
		running?.abort();
		asked = P.planLink.write(question);
		if (isStep) P.stands(true);
		if (answers.has(asked)) {
			draw(answers.get(asked));
			return;
		}
		draw(null);
		if (!(await check())) {
			said.textContent = "Some answers cannot be taken.";
			if (isStep) form.focusWrong();
			return;
		}
		const own = new AbortController(),
			began = performance.now(),
			of = asked;
		running = own;
		bar.removeAttribute("value");
		far.textContent = "Reading the question.";
		progress.hidden = false;
		said.textContent = "Searching; everything else on the page goes on meanwhile.";
		planner.setAttribute("aria-busy", "true");
		const answer = await P.askLong({ op: "plan", asked: question }, tellSince(began), own.signal);
		if (running !== own) return;
		running = null;
		progress.hidden = true;
		planner.removeAttribute("aria-busy");
		if (!answer) said.textContent = "Cancelled.";
		else if (!answer.ok) problems(answer);
		else {
			said.textContent = "Found in " + M.seconds((performance.now() - began) / 1000) + ".";
			if (answer.plan.complete) answers.set(of, answer);
			if (answers.size > KEPT) answers.delete(answers.keys().next().value);
			draw(answer);
		}
	};

	const view = (open) => {
		isOpen = open;
		planner.hidden = !open;
		document.body.classList.toggle("planning", open);
		button.setAttribute("aria-pressed", String(open));
		// What was drawn out of sight had no width.
		if (!open) M.redrawAll();
	};
	const leave = () => {
		running?.abort();
		view(false);
		P.stands(true);
		button.focus({ preventScroll: true });
	};
	const enter = () => {
		view(true);
		if (!asked && !shown) form.fill(P.planDefaults(P.answer, catalog));
		check();
		P.stands(true);
		by("planner-h").focus({ preventScroll: true });
		window.scrollTo({ top: 0 });
	};

	P.plan = {
		// What a link says of it: nothing while it is closed.
		stand: () => (isOpen ? asked : null),
		show: (to) => {
			if (to == null) {
				if (isOpen) view(false);
				running?.abort();
				return;
			}
			const before = isOpen;
			view(true);
			if (to === asked && before) return;
			if (!to) {
				asked = "";
				running?.abort();
				draw(null);
				form.fill(P.planDefaults(P.answer, catalog));
				return;
			}
			form.fill(P.planLink.read(to));
			ask(false);
		},
		begin: (known) => {
			catalog = known;
			button = h(
				"button",
				{ type: "button", "aria-pressed": "false", onclick: () => (isOpen ? leave() : enter()) },
				"Plan",
			);
			const holder = by("planner-form");
			form = P.planForm(holder, catalog, check);
			holder.append(
				h(
					"div",
					{ class: "controls" },
					go,
					h(
						"button",
						{
							type: "button",
							onclick: () => {
								form.fill(P.planDefaults(P.answer, catalog));
								check();
							},
						},
						"Fill in from the scenario",
					),
					h("button", { type: "button", onclick: leave }, "Back to the playground"),
				),
				said,
				progress,
			);
			holder.addEventListener("submit", (event) => {
				event.preventDefault();
				ask(true);
			});
			M.onRedraw(() => {
				if (isOpen && shown) draw(shown);
			});
			return button;
		},
	};
})();
