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
	const close = () => {
		P.course.end();
		section.hidden = true;
		lesson = null;
		hush(false);
	};
	const leave = () =>
		h(
			"button",
			{
				type: "button",
				onclick: () => {
					close();
					P.stands(true);
					P.say("The tour is over; every setting is yours.");
					start.focus({ preventScroll: true });
					window.scrollTo({ top: 0 });
				},
			},
			"Leave the tour",
		);
	// What a lesson showed, step by step, and at last what to try.
	const stepsOf = ({ lesson: about, seen, played, before }, at) => [
		...about.seen.map((one, k) => ({
			...one,
			said: h("p", {}, M.unbroken(seen[k])),
			// Those that its words hold.
			figures: [...one.text.matchAll(/\b\d\.([\w.]+\w)/g)].map(([, path]) => path),
			answer: one.before ? before : played,
		})),
		{
			show: about.try_show,
			figures: [],
			answer: played,
			free: true,
			said: h(
				"div",
				{},
				h("p", {}, h("strong", {}, "Try next: "), about.try_next),
				h(
					"div",
					{ class: "controls" },
					about.try_set.length > 0 &&
						h(
							"button",
							{
								type: "button",
								onclick: () => {
									P.pin(P.answer);
									P.change(about.try_set);
									P.part("figures");
								},
							},
							"Do it",
						),
					at + 1 < catalog.lessons.length &&
						h(
							"button",
							{ type: "button", class: "primary", onclick: () => open(at + 1) },
							"Next: " + catalog.lessons[at + 1].title,
						),
					leave(),
				),
			),
		},
	];

	// link: what it says of the lesson. With a step all is shown at once, without a question; `kept` where it says
	// what is played, and where plots stand.
	const open = async (at, link) => {
		const { step, kept } = link || {};
		P.course.end();
		lesson = at;
		P.stands(!link);
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
			after = h("div", {});
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
			if (!kept) {
				P.taken(taught.played, Boolean(link));
				P.pin(taught.before || null);
				P.readers.pick(null, true);
			}
			const shown = h("div", {});
			after.replaceChildren(
				h(
					"div",
					{ "aria-live": "polite" },
					h(
						"h3",
						{ tabindex: -1 },
						given === null ? "What happens" : chosen.right ? "That is what happens" : "Not quite",
					),
					h("p", {}, chosen.reply),
				),
				shown,
			);
			background.open = false;
			body.querySelector(".lessons").replaceWith(list());
			const steps = stepsOf(taught, at);
			if (step != null) {
				P.course.begin(shown, steps, Math.min(step, steps.length - 1), kept ? "kept" : "opened");
				return;
			}
			P.course.begin(shown, steps, 0);
			P.stands(true);
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
		if (step != null) {
			form.requestSubmit();
			return;
		}
		heading.focus({ preventScroll: true });
		section.scrollIntoView({ block: "start" });
	};
	// The lesson that is open and its step, by their places; null for none.
	P.lesson = () => ({ lesson, step: P.course.step() });
	// What a link says of them.
	P.teach = (at, step, kept) => {
		if (at === null) {
			if (lesson !== null) close();
			return;
		}
		const to = Math.min(at, catalog.lessons.length - 1);
		if (to !== lesson || (step == null) !== (P.course.step() === null)) open(to, { step, kept: kept && step != null });
		else if (step != null && step !== P.course.step()) P.course.go(step, kept);
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
