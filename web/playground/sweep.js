// What comes of other loads: a handful of rates around the current one, played one after the other beside all
// else, and ended by the next change.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	// Times the current rate.
	const FACTORS = [0.5, 0.7, 0.85, 1.15, 1.35, 1.6, 2];
	const TALL = 210;
	const body = document.getElementById("load-body");
	const line = h("p", { class: "hint", role: "status" });
	const grid = h("div", { class: "grid" }),
		tails = h("div", { class: "grid" }),
		table = h("div", {});
	let answer = null,
		points = [],
		ended = new AbortController();
	const rate = (value) => Number(value.toPrecision(3));
	const dial = () => answer.dials.find((one) => one.id === "rate");

	const run = (place) => ({ color: M.runColor(place), dash: M.runDash(place) });
	const path = (c, place, at, reach) => {
		const { color, dash } = run(place);
		c.strokeStyle = c.fillStyle = color;
		c.lineWidth = 2;
		c.setLineDash(dash);
		c.beginPath();
		at.forEach(([x, y], k) => {
			if (k) c.lineTo(x, y);
			else c.moveTo(x, y);
		});
		c.stroke();
		c.setLineDash([]);
		if (reach) return;
		at.forEach(([x, y]) => {
			c.beginPath();
			if (place % 2) c.rect(x - 3, y - 3, 6, 6);
			else c.arc(x, y, 3.5, 0, 7);
			c.fill();
		});
	};
	const level = (c, box, y, text) => {
		if (y < box.top || y > box.top + box.height) return;
		c.strokeStyle = c.fillStyle = M.css("--good");
		c.lineWidth = 1.5;
		c.setLineDash([6, 3]);
		c.beginPath();
		c.moveTo(box.left, y);
		c.lineTo(box.left + box.width, y);
		c.stroke();
		c.setLineDash([]);
		c.textAlign = "right";
		const right = box.left + box.width - 2,
			foot = y < box.top + 16 ? y + 14 : y - 5,
			wide = c.measureText(text).width;
		c.fillStyle = M.css("--card");
		c.fillRect(right - wide - 3, foot - 11, wide + 5, 14);
		c.fillStyle = M.css("--good");
		c.fillText(text, right, foot);
	};
	// A promised limit: what the promise says of the distribution.
	const promised = (of) => answer.runs[0].lines.filter((one) => one.of === of).slice(0, 2);
	/** @type {any[]} */
	const PLOTS = [
		{
			title: "Share of requests that keep the promise",
			of: (figures) => figures.kept_share,
			show: (v) => Math.round(v * 100) + " %",
			limits: () =>
				answer.load[0].least_share == null
					? []
					: [{ value: answer.load[0].least_share, label: "promised: " + M.percent(answer.load[0].least_share) }],
			high: 1,
		},
		{ title: "Requests a second that keep it", of: (figures) => figures.kept_per_s, show: M.tick, limits: () => [] },
		{
			title: "P99 of time to first token",
			of: (figures) => figures.ttft_p99_s,
			show: M.seconds,
			limits: () => promised("ttft"),
			clips: true,
		},
		{
			title: "P99 of time between tokens",
			of: (figures) => figures.tbt_p99_s,
			show: M.seconds,
			limits: () => promised("tbt"),
			clips: true,
		},
	];
	const plots = PLOTS.map((plot) => ({ ...plot, cell: h("div", { class: "cell" }, h("h3", {}, plot.title)) }));
	const all = () => [...points].sort((a, b) => a.rate - b.rate);
	const paint = (plot) => (c, width) => {
		if (!answer || !dial()?.path) return;
		const here = Number(dial().value),
			values = points.flatMap((point) => point.runs.map(plot.of)).filter((v) => v != null),
			limits = plot.limits().filter((one) => one.value > 0);
		if (!values.length) return;
		const now = answer.load.map(plot.of).filter((v) => v != null),
			most = Math.max(...values, ...limits.map((one) => one.value));
		// Far beyond the promise no plot can show both: the table has the figures.
		const high =
			plot.high ||
			1.06 *
				(plot.clips && limits.length
					? Math.min(most, Math.max(4 * Math.max(...limits.map((one) => one.value)), 1.5 * Math.max(...now, 0)))
					: most) ||
			1;
		const box = { left: 58, top: 26, width: width - 72, height: TALL - 72 };
		const at = M.axes(
			c,
			box,
			{ low: here * FACTORS[0] * 0.95, high: here * FACTORS[FACTORS.length - 1] * 1.03, name: dial().label },
			{ low: 0, high, show: plot.show },
		);
		c.save();
		c.beginPath();
		c.rect(box.left - 4, box.top - 6, box.width + 8, box.height + 10);
		c.clip();
		limits.forEach((one) => level(c, box, at.y(one.value), one.label));
		answer.runs.forEach((_, place) =>
			path(
				c,
				place,
				all()
					.filter((point) => plot.of(point.runs[place] || {}) != null)
					.map((point) => [at.x(point.rate), at.y(plot.of(point.runs[place]))]),
			),
		);
		c.restore();
		c.strokeStyle = c.fillStyle = M.css("--accent");
		c.lineWidth = 2;
		c.beginPath();
		c.moveTo(at.x(here), box.top);
		c.lineTo(at.x(here), box.top + box.height);
		c.stroke();
		c.textAlign = "center";
		c.fillText("you are here", at.x(here), box.top - 10);
	};

	/* ---- tails: the share of samples on an axis on which each further nine takes the same room ---- */
	const NINES = ["50 %", "90 %", "99 %", "99.9 %"];
	/** @type {any[]} */
	const TAILS = [
		["ttft", "Time to first token, by percentile"],
		["tbt", "Time between tokens, by percentile"],
	].map(([of, title]) => ({ of, title, cell: h("div", { class: "cell" }, h("h3", {}, title)) }));
	// From the median on each mark stands as far from the one before.
	const nine = (share) => {
		const at = -Math.log10(1 - Math.min(share, 0.9999));
		return at >= 1 ? at : (at - Math.log10(2)) / (1 - Math.log10(2));
	};
	const paintTail =
		({ of }) =>
		(c, width) => {
			if (!answer) return;
			const curves = answer.runs.map((one) => one[of]);
			if (!curves.some((one) => one?.value.length)) return;
			const most = Math.max(...curves.filter(Boolean).map((cdf) => M.quantile(cdf, 0.999))),
				limits = promised(of).filter((one) => one.value < most * 1.5),
				box = { left: 58, top: 12, width: width - 72, height: TALL - 58 },
				high = 1.06 * Math.max(most, ...limits.map((one) => one.value));
			const at = M.axes(
				c,
				box,
				{
					low: 0,
					high: 3,
					show: (v) => NINES[v] ?? "",
					name: "share of samples that took no longer",
					whole: true,
				},
				{ low: 0, high, show: M.seconds },
			);
			limits.forEach((one) => level(c, box, at.y(one.value), one.label));
			curves.forEach((cdf, place) => {
				if (!cdf) return;
				const steps = [[at.x(0), at.y(M.quantile(cdf, 0.5))]];
				cdf.share.forEach((share, k) => {
					if (share > 0.5 && share <= 0.999) steps.push([at.x(nine(share)), at.y(cdf.value[k])]);
				});
				// As far as there are samples to tell of it.
				if (cdf.count >= 1000) steps.push([at.x(3), at.y(M.quantile(cdf, 0.999))]);
				path(c, place, steps, true);
			});
		};

	const rows = () =>
		all().flatMap((point) =>
			point.runs.map((figures, place) => [
				point.rate,
				answer.runs[place].label,
				...PLOTS.map((plot) =>
					plot.of(figures) == null
						? "-"
						: plot.show === M.tick
							? M.digits(plot.of(figures))
							: plot.show(plot.of(figures)),
				),
			]),
		);
	const HEAD = ["Rate", "Scheduler", ...PLOTS.map((plot) => plot.title)];
	const draw = () => {
		plots.forEach((plot) => plot.surface?.draw());
		TAILS.forEach((tail) => tail.surface?.draw());
	};
	const make = () => {
		plots.forEach((plot) => {
			plot.surface = M.surface(plot.cell, TALL, plot.title + ", against the load", paint(plot));
			M.saver(plot.cell, plot.title, plot.surface, () => [
				["rate", ...answer.runs.map((one) => one.label)],
				all().map((point) => [point.rate, ...point.runs.map((figures) => plot.of(figures) ?? "")]),
			]);
		});
		TAILS.forEach((tail) => {
			tail.surface = M.surface(tail.cell, TALL, tail.title, paintTail(tail));
			M.saver(tail.cell, tail.title, tail.surface, () => [
				["scheduler", "share", "seconds"],
				answer.runs.flatMap((one) =>
					one[tail.of] ? one[tail.of].share.map((share, k) => [one.label, share, one[tail.of].value[k]]) : [],
				),
			]);
		});
		grid.replaceChildren(...plots.map((plot) => plot.cell));
		tails.replaceChildren(...TAILS.map((tail) => tail.cell));
	};

	const sweep = async () => {
		ended.abort();
		ended = new AbortController();
		const { signal } = ended,
			of = answer,
			{ path: field, value } = dial();
		points = [{ rate: Number(value), runs: of.load }];
		draw();
		// While someone drags a slider nothing is begun.
		await new Promise((done) => setTimeout(done, 250));
		if (signal.aborted) return;
		// The nearest first: what is asked for most is there soonest.
		const rates = FACTORS.map((factor) => rate(Number(value) * factor)).sort(
			(a, b) => Math.abs(a - value) - Math.abs(b - value),
		);
		for (const one of rates) {
			line.textContent = "Playing other loads: " + (points.length - 1) + " of " + rates.length + ".";
			draw();
			const found = await P.askBeside(
				{ op: "load", scenario: { text: of.text, set: [field + "=" + one], show: of.shown } },
				signal,
			);
			if (signal.aborted) return;
			if (found?.ok) points.push({ rate: one, runs: found.runs });
		}
		line.textContent =
			"The same scenario, its requests sent at " +
			points.length +
			" rates" +
			(points.length - 1 < rates.length ? "; loads that the page does not play are left out" : "") +
			".";
		const had = table.querySelector("details")?.open;
		table.replaceChildren();
		table.append(M.details("The figures as a table", "Figures against the load", HEAD, rows));
		if (had) table.querySelector("details").open = true;
		draw();
		document.documentElement.dataset.swept = document.documentElement.dataset.answers;
	};
	P.sweep = {
		// Ends what is under way.
		stop: () => ended.abort(),
		draw: (to) => {
			answer = to;
			const can = Boolean(dial()?.path);
			if (!body.children.length) {
				body.append(line, grid, h("h3", {}, "Latencies where you are"), tails, table);
				make();
			} else [...plots, ...TAILS].forEach((one) => M.onRedraw(one.surface.draw));
			body.querySelectorAll("ul.legend").forEach((one) => one.remove());
			body.prepend(M.runKey(to.runs));
			grid.hidden = table.hidden = !can;
			draw();
			if (can) sweep();
			else {
				const why = dial()?.why;
				line.textContent = "No curves: the load cannot be changed here" + (why ? ", " + why : "") + ".";
			}
		},
	};
})();
