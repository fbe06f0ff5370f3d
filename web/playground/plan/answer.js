// What a plan found: each GPU's cheapest way in a table and a plot, and what cannot hold the promise.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const usd = (value) => (value == null ? "-" : "$" + value.toFixed(2));
	const spread = ({ parallelism, dtype }) =>
		"TP" +
		parallelism.tensor +
		(parallelism.pipeline > 1 ? " PP" + parallelism.pipeline : "") +
		(parallelism.expert ? " EP" : "") +
		", " +
		dtype;
	const section = (id, title, ...parts) =>
		h("section", { id, "aria-labelledby": id + "-h" }, h("h2", { id: id + "-h" }, title), parts);
	// Loads of this plan, with what they count.
	const unitOf = (plan) => (plan.users == null ? "requests/s" : "users");
	const askedOf = (plan) => plan.users ?? plan.requests_per_s;
	const range = ([lower, upper], show) =>
		upper == null ? "at least " + show(lower) : show(lower) + " to " + show(upper);
	const carries = (plan, one) => range(one.interval, M.digits) + " " + unitOf(plan);
	const headRoom = (plan, one) => {
		const whole = (value) => Math.round(100 * value),
			over = (load) => whole(load / askedOf(plan) - 1);
		return whole(one.head_room) + " % (" + range(one.interval, over) + " %)";
	};

	const copied = (text, note) => async () => {
		try {
			await navigator.clipboard.writeText(text);
			note.textContent = "Copied.";
		} catch (_) {
			note.textContent = text;
		}
	};
	const verdict = ({ plan, answer, command }, act) => {
		const note = h("span", { class: "hint", role: "status" });
		const held =
			plan.promise &&
			"Held: " +
				plan.promise +
				", with each of seeds " +
				plan.seeds.join(", ") +
				". " +
				plan.cells_simulated +
				" of " +
				plan.cells +
				" cells were simulated on a fleet; the others cannot be cheaper.";
		return section(
			"plan-verdict",
			"Answer",
			h("p", { class: "plan-best" }, M.unbroken(answer) + "."),
			!plan.complete &&
				h(
					"p",
					{ class: "notice" },
					"Time ran out: this is what was known by then. The command line has no such limit.",
				),
			held && h("p", { class: "hint" }, M.unbroken(held)),
			plan.notes.map((text) => h("p", { class: "hint" }, M.unbroken(text))),
			h("pre", { class: "command", tabindex: 0, "aria-label": "The same on the command line" }, command),
			h(
				"div",
				{ class: "controls" },
				h("button", { type: "button", onclick: copied(command, note) }, "Copy the command"),
				h(
					"button",
					{ type: "button", onclick: async () => copied(await act.address(), note)() },
					"Copy a link to this plan",
				),
				note,
			),
		);
	};

	// Opens an answer's scenario, or keeps its figures beside those of what is opened.
	const actions = (one, { text, note }, act) => {
		if (text == null) return h("span", { class: "meaning" }, note);
		const button = (words, name, run) =>
			h(
				"button",
				{ type: "button", "aria-label": words + ": " + one.gpu, title: name, onclick: () => run(text, one.gpu) },
				words,
			);
		return h(
			"span",
			{ class: "acts" },
			button("Open", "Open this scenario in the playground", act.open),
			button("Keep as \u201cbefore\u201d", "Keep its figures as before", act.keep),
			note && h("span", { class: "meaning" }, note),
		);
	};
	const COLUMNS = [
		{ name: "Replicas", cell: (_, one) => one.replicas },
		{ name: "of", cell: (_, one) => spread(one) },
		{ name: "GPUs", cell: (_, one) => one.gpus },
		{ name: "$/h", cell: (_, one) => usd(one.usd_per_hour) },
		{ name: "$/M output tokens", cell: (_, one) => usd(one.usd_per_million_output_tokens) },
		{ name: "Head-room", cell: headRoom },
		{ name: "Goodput: carries within the promise", cell: carries },
		{ name: "P99 TTFT", cell: (_, one) => M.seconds(one.ttft_p99_s) },
		{ name: "Fluid", cell: (_, one) => M.percent(one.fluid_request_share) },
		{ name: "Settings", cell: (_, one) => one.scheduler },
	];
	const ranked = ({ plan, scenarios }, act) =>
		h(
			"div",
			{ class: "scroll plan-table", tabindex: 0, role: "region", "aria-label": "Each GPU's cheapest way" },
			h(
				"table",
				{},
				h("caption", {}, "The cheapest first; in brackets 95 % intervals"),
				h(
					"thead",
					{},
					h(
						"tr",
						{},
						["GPU", ...COLUMNS.map((one) => one.name)].map((name) => h("th", { scope: "col" }, name)),
					),
				),
				h(
					"tbody",
					{},
					plan.answers.map((one, k) =>
						h(
							"tr",
							{},
							h("th", { scope: "row" }, one.gpu, actions(one, scenarios[k], act)),
							COLUMNS.map(({ cell }) => h("td", {}, M.unbroken(String(cell(plan, one))))),
						),
					),
				),
			),
		);
	const starts = (plan) =>
		h(
			"details",
			{},
			h("summary", {}, "How to start them, and what the prices rest on"),
			plan.answers.flatMap((one) => [
				h("h3", {}, one.gpu),
				one.launch && h("pre", { tabindex: 0, "aria-label": "Command for " + one.gpu }, one.launch),
				(one.not_in_launch || []).map((note) => h("p", { class: "hint" }, "Not in this line: " + note)),
				one.price_source &&
					h("p", { class: "hint" }, usd(one.usd_per_gpu_hour) + " a GPU and hour: " + one.price_source),
				one.caution && h("p", { class: "hint" }, one.caution),
			]),
		);

	// Nothing else is both cheaper and carries more.
	const frontOf = (points) =>
		points
			.filter((p) => !points.some((q) => q.x <= p.x && q.y >= p.y && (q.x < p.x || q.y > p.y)))
			.sort((a, b) => a.x - b.x);
	const frontier = (body, plan) => {
		const points = plan.answers
			.map((one, place) => ({ one, place }))
			.filter(({ one }) => one.usd_per_hour != null)
			.map(({ one, place }) => ({
				x: one.usd_per_hour,
				y: askedOf(plan) * (1 + one.head_room),
				color: () => M.runColor(place),
				shape: place % 4,
				label: one.gpu + ", " + spread(one) + ": " + usd(one.usd_per_hour) + " an hour, carries " + carries(plan, one),
			}));
		if (points.length < 2) return;
		const least = askedOf(plan),
			most = Math.max(...points.map((p) => p.y));
		const key = () => plan.answers.map((one, place) => ({ name: one.gpu, color: () => M.runColor(place) }));
		const part = section(
			"plan-front",
			"Cost against load",
			h(
				"p",
				{ class: "reading" },
				"A mark is a GPU's answer: what it costs an hour, and what it carries within the promise. The line joins those to which nothing else is preferable in both.",
			),
		);
		body.append(part);
		M.scatter(part, {
			title: "What each answer costs and carries",
			points,
			path: frontOf(points),
			lines: [{ y: least, label: "asked: " + M.digits(least) + " " + unitOf(plan) }],
			x: { name: "dollars an hour", low: 0 },
			y: { name: unitOf(plan) + " carried", low: Math.max(0, least - 0.2 * (most - least || least)) },
			key,
		});
		part.append(M.legend(key()));
	};
	const infeasible = (plan) =>
		section(
			"plan-not",
			"What cannot hold it at any load",
			M.table(
				"Kinds of replica, why, and the cheapest change that mends it",
				["GPU", "Replica", "Why", "Nearest change"],
				plan.infeasible.map((one) => [
					one.gpu,
					spread(one),
					M.unbroken(one.reason.replace("TP" + one.parallelism.tensor + ": ", "")),
					M.unbroken(one.nearest_change || "-"),
				]),
			),
		);

	P.planAnswer = (body, answer, act) => {
		const { plan } = answer;
		M.empty(body);
		body.append(verdict(answer, act));
		if (plan.answers.length)
			body.append(section("plan-ranked", "GPUs that hold it", ranked(answer, act), starts(plan)));
		frontier(body, plan);
		if (plan.infeasible.length) body.append(infeasible(plan));
	};
})();
