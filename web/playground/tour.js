// Lessons: a question, a prediction, then the simulation.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const section = document.getElementById("tour"),
		body = document.getElementById("tour-body");
	const done = new Set();
	// Answers stand in another order for everybody, and the same one while a lesson is open.
	const shuffled = (list) => {
		const all = list.slice();
		for (let k = all.length - 1; k > 0; k--) {
			const other = Math.floor(Math.random() * (k + 1));
			[all[k], all[other]] = [all[other], all[k]];
		}
		return all;
	};
	let catalog = null,
		lesson = null,
		start = null;
	const hush = (on) => document.body.classList.toggle("hushed", on);

	const list = () =>
		h(
			"ol",
			{ class: "lessons" },
			catalog.lessons.map((one, at) =>
				h(
					"li",
					{},
					h(
						"button",
						{
							type: "button",
							class: done.has(at) ? "done" : null,
							"aria-current": at === lesson ? "step" : null,
							onclick: () => open(at),
						},
						at + 1 + ".",
						h("span", { class: "lesson-title" }, " " + one.title),
					),
				),
			),
		);
	const leave = () =>
		h(
			"button",
			{
				type: "button",
				onclick: () => {
					section.hidden = true;
					lesson = null;
					P.stands(true);
					hush(false);
					P.say("The tour is over; every setting is yours.");
					start.focus({ preventScroll: true });
					window.scrollTo({ top: 0 });
				},
			},
			"Leave the tour",
		);

	// answered: what the lesson shows at once, as a link to it does.
	const open = async (at, answered) => {
		lesson = at;
		P.stands(true);
		section.hidden = false;
		hush(true);
		body.replaceChildren(list(), h("p", { class: "hint" }, "Loading."));
		const taught = await P.ask({ op: "lesson", number: at });
		if (lesson !== at) return;
		if (!taught.ok) {
			body.replaceChildren(
				list(),
				h("p", { class: "absent" }, taught.problems.map((one) => one.message).join("; ")),
				leave(),
			);
			return;
		}
		const about = taught.lesson,
			after = h("div", { "aria-live": "polite" });
		const choices = shuffled(about.choices.map((choice, k) => ({ choice, k }))).map(({ choice, k }) =>
			h(
				"label",
				{},
				h("input", {
					type: "radio",
					name: "prediction",
					value: k,
					onchange: () => {
						go.disabled = false;
					},
				}),
				choice.text,
			),
		);
		const go = h("button", { type: "submit", class: "primary", disabled: true }, "Simulate");
		const form = h(
			"form",
			{},
			h("fieldset", { class: "choices" }, h("legend", {}, about.question), choices),
			h("div", { class: "controls" }, go, leave()),
		);
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			const given = new FormData(form).get("prediction");
			const chosen = given === null ? about.choices.find((choice) => choice.right) : about.choices[Number(given)];
			done.add(at);
			P.kept.keep(catalog.lessons.filter((_, k) => done.has(k)).map((one) => one.title));
			go.hidden = true;
			hush(false);
			// A link to a lesson holds what was made of it.
			if (!answered) {
				P.taken(taught.played);
				P.pin(taught.before || null);
			}
			const next = at + 1 < catalog.lessons.length;
			after.replaceChildren(
				h(
					"h3",
					{ tabindex: -1 },
					given === null ? "What happens" : chosen.right ? "That is what happens" : "Not quite",
				),
				h("p", {}, chosen.reply),
				h(
					"div",
					{ class: "seen" },
					taught.seen.map((text) => h("p", {}, M.unbroken(text))),
				),
				h(
					"div",
					{ class: "looks", role: "group", "aria-label": "Where to see it" },
					about.look.map((one) => h("button", { type: "button", onclick: () => P.look(one.at, P.answer) }, one.text)),
				),
				h(
					"p",
					{},
					h("strong", {}, "Try next: "),
					about.try_next,
					" ",
					about.try_set.length > 0 &&
						h(
							"button",
							{
								type: "button",
								onclick: () => {
									P.pin(P.answer);
									P.change(about.try_set);
									document.getElementById("figures").scrollIntoView({ block: "start" });
								},
							},
							"Do it",
						),
				),
				h(
					"div",
					{ class: "controls" },
					next &&
						h(
							"button",
							{ type: "button", class: "primary", onclick: () => open(at + 1) },
							"Next: " + catalog.lessons[at + 1].title,
						),
				),
			);
			background.open = false;
			body.querySelector(".lessons").replaceWith(list());
			// The button that had the focus is gone.
			const answer = after.querySelector("h3");
			if (answered) return;
			answer.focus({ preventScroll: true });
			answer.scrollIntoView({ block: "start", behavior: M.calm() ? "auto" : "smooth" });
		});
		const heading = h("h3", { tabindex: -1 }, at + 1 + ". " + about.title);
		const background = h(
			"details",
			{ open: true },
			h("summary", {}, "What you need to know"),
			about.background.map((text) => h("p", {}, text)),
		);
		body.replaceChildren(list(), heading, background, form, after);
		if (answered) {
			form.requestSubmit();
			return;
		}
		heading.focus({ preventScroll: true });
		section.scrollIntoView({ block: "start" });
	};
	// The lesson that is open, by its place; null for none.
	P.lesson = () => lesson;
	P.teach = (at, answered) => {
		if (at !== lesson) open(Math.min(at, catalog.lessons.length - 1), answered);
	};
	P.tour = (known) => {
		catalog = known;
		const kept = P.kept.lessons();
		catalog.lessons.forEach((one, at) => {
			if (kept.includes(one.title)) done.add(at);
		});
		start = h(
			"button",
			{
				type: "button",
				class: "primary",
				onclick: () => open(lesson === null ? [...catalog.lessons.keys()].find((at) => !done.has(at)) || 0 : lesson),
			},
			"Guided tour",
		);
		return start;
	};
})();
