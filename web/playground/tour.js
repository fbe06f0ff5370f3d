// Six lessons: a question, a prediction, then the simulation.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const section = document.getElementById("tour"),
		body = document.getElementById("tour-body");
	const done = new Set();
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
					hush(false);
					P.say("The tour is over; every setting is yours.");
					start.focus({ preventScroll: true });
					window.scrollTo({ top: 0 });
				},
			},
			"Leave the tour",
		);

	const open = async (at) => {
		lesson = at;
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
		const choices = about.choices.map((choice, k) =>
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
			const chosen = about.choices[Number(new FormData(form).get("prediction"))];
			done.add(at);
			go.hidden = true;
			hush(false);
			P.taken(taught.played);
			const next = at + 1 < catalog.lessons.length;
			after.replaceChildren(
				h("h3", { tabindex: -1 }, chosen.right ? "That is what happens" : "Not quite"),
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
				h("p", {}, h("strong", {}, "Try next: "), about.try_next),
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
		heading.focus({ preventScroll: true });
		section.scrollIntoView({ block: "start" });
	};
	P.tour = (known) => {
		catalog = known;
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
