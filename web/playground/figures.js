// The figures of the runs side by side. One of which only bounds are known, since observation ended
// before every request did, is drawn as its bounds.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;

	const show = (unit, value) => {
		if (unit === "kept") return value == null ? "not known" : value ? "kept" : "broken";
		if (value == null) return "-";
		if (unit === "s") return M.seconds(value);
		if (unit === "share") return M.percent(value);
		return unit === "count" && Number.isInteger(value) ? M.count(value) : M.digits(value);
	};
	// The least and the most that a figure of a run can be; none where nothing is known of it.
	const known = (figure, place) => {
		const value = figure.values[place];
		if (value != null) return { least: value, most: value };
		const least = figure.lower?.[place] ?? -Infinity,
			most = figure.upper?.[place] ?? Infinity;
		return least > -Infinity || most < Infinity ? { least, most } : null;
	};
	const text = (figure, place) => {
		const of = known(figure, place),
			told = (value) => show(figure.unit, value);
		if (!of) return told(null);
		if (of.most === Infinity) return "\u2265\u00a0" + told(of.least);
		if (of.least === -Infinity) return "\u2264\u00a0" + told(of.most);
		const [low, high] = [told(of.least), told(of.most)];
		if (low === high) return low;
		// One unit for both, where it is the same.
		const [, unit] = high.match(/( [^ ]+)$/) || [null, ""];
		return (unit && low.endsWith(unit) ? low.slice(0, -unit.length) : low) + " to " + high;
	};
	P.figureTexts = (figure) => figure.values.map((_, place) => text(figure, place));

	// The second against the first, in words.
	const change = (figure) => {
		const [a, b] = [known(figure, 0), known(figure, 1)],
			worth = figure.more_is_better;
		if (!a || !b || figure.unit === "kept") return ["", ""];
		const judged = (more) => (worth == null ? "" : more === worth ? "better" : "worse");
		const worded = (words, good) => [words + (good ? ", " + good : ""), good];
		if (a.least !== a.most || b.least !== b.most) {
			if (b.least > a.most) return worded("more", judged(true));
			if (b.most < a.least) return worded("less", judged(false));
			return ["not decided", ""];
		}
		const [from, to] = [a.least, b.least];
		if (text(figure, 0) === text(figure, 1)) return ["the same", ""];
		const more = to > from;
		let words;
		if (figure.unit === "share") words = (more ? "+" : "\u2212") + (Math.abs(to - from) * 100).toFixed(1) + " points";
		else if (from <= 0 || to <= 0) words = more ? "more" : "less";
		else {
			const times = more ? to / from : from / to;
			words =
				times >= 2
					? M.digits(times) +
						" times " +
						(figure.unit === "s" ? (more ? "longer" : "shorter") : more ? "as much" : "less")
					: (more ? "+" : "\u2212") + (Math.abs(to / from - 1) * 100).toFixed(times > 1.1 ? 0 : 1) + " %";
		}
		return worded(words, judged(more));
	};

	// Which run is the best whatever a figure turns out to be within its bounds; -1 for none.
	const best = (figure) => {
		const all = figure.values.map((_, place) => known(figure, place)),
			texts = P.figureTexts(figure);
		if (all.length < 2 || figure.more_is_better == null || all.some((one) => !one)) return -1;
		if (texts.every((one) => one === texts[0])) return -1;
		const noWorse = (own, other) => (figure.more_is_better ? own.least >= other.most : own.most <= other.least);
		return all.findIndex((own, k) => all.every((other, j) => j === k || noWorse(own, other)));
	};

	// What a figure was when it was kept; null where nothing is kept, or there was no such run.
	const before = (figure, place) => {
		if (!P.before) return null;
		const same = P.before.figures.find((one) => one.path === figure.path);
		return same && place < same.values.length ? text(same, place) : "-";
	};

	P.figures = (answer) => {
		const runs = answer.runs,
			two = runs.length > 1;
		const rows = answer.figures.filter(
			(figure) =>
				(figure.unit === "kept" || figure.values.some((_, place) => known(figure, place))) &&
				!(["kv.preemptions", "requests.rejected"].includes(figure.path) && figure.values.every((value) => value === 0)),
		);
		const letters = h(
			"div",
			{ class: "narrow-only" },
			h(
				"ul",
				{ class: "legend" },
				runs.map((run, place) =>
					h(
						"li",
						{},
						M.swatch(() => M.runColor(place)),
						(two ? "AB"[place] + ": " : "") + run.label,
					),
				),
			),
		);
		const other =
			P.before &&
			answer.runs.some((run, place) => run.label !== P.before.labels[place]) &&
			h("p", { class: "hint" }, "\u201cBefore\u201d were played: " + P.before.labels.join(", ") + ".");
		document.getElementById("figures-body").replaceChildren(
			letters,
			...(other ? [other] : []),
			h(
				"div",
				{ class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures, side by side" },
				h(
					"table",
					{ class: "figures" },
					h(
						"thead",
						{},
						h(
							"tr",
							{},
							h("th", { scope: "col" }, h("span", { class: "sr" }, "Figure")),
							runs.map((run, place) =>
								h(
									"th",
									{ scope: "col" },
									M.swatch(() => M.runColor(place)),
									two && "AB"[place],
									two && h("span", { class: "name" }, ": "),
									h(
										"span",
										{ class: run.label.length < 16 ? "name short" : "name" },
										run.label.replace("(", " (").replaceAll(",", ", "),
									),
								),
							),
							two && h("th", { scope: "col", class: "change" }, "B against A"),
						),
					),
					h(
						"tbody",
						{},
						rows.map((figure) => {
							const [words, good] = change(figure),
								winner = best(figure);
							return h(
								"tr",
								{ class: P.meant?.includes(figure.path) ? "meant" : null },
								h("th", { scope: "row" }, figure.name, h("span", { class: "meaning" }, figure.meaning)),
								P.figureTexts(figure).map((told, place) => {
									const then = before(figure, place);
									return h(
										"td",
										{ class: place === winner ? "best" : null },
										told,
										place === winner && h("span", { class: "sr" }, " best"),
										then != null && h("span", { class: "before" }, then === told ? "as before" : "before: " + then),
									);
								}),
								two && h("td", { class: "change " + good }, words),
							);
						}),
					),
				),
			),
		);
	};
})();
