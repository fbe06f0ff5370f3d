// Stalls: their stories in words, and what would have helped.
(() => {
	const M = Metron,
		h = M.h;

	M.story = (stall, meaning) => {
		const what = stall.token === 0 ? "waited for its first token" : "stood still before token " + (stall.token + 1);
		const others =
			stall.requests_hit > 2
				? ", and " + (stall.requests_hit - 1) + " others with it"
				: stall.requests_hit === 2
					? ", and 1 other with it"
					: "";
		return (
			"Request " +
			stall.request +
			" " +
			what +
			" for " +
			M.ns(stall.length_ns) +
			(stall.beyond_ns ? ", " + M.ns(stall.beyond_ns) + " beyond its deadline" : ", within its deadline") +
			others +
			". Mostly " +
			M.causeWords(stall.main_cause) +
			": " +
			(meaning[stall.main_cause] || "") +
			"."
		);
	};
	const DID = {
		no_seat: "held a seat",
		no_kv_blocks: "held KV blocks",
		preempted_waiting: "held KV blocks after the preemption",
		recompute: "held KV blocks at the preemption",
		head_of_line: "stood ahead in the queue, short of KV blocks",
	};
	M.byWhom = (culprit, stall) => {
		if (DID[culprit.cause]) return DID[culprit.cause];
		const where = culprit.lane !== stall.replica ? ", in another lane" : "";
		if (culprit.prefill_tokens)
			return (
				M.count(culprit.prefill_tokens) + " tokens of its " + M.count(culprit.prompt_tokens) + "-token prompt" + where
			);
		return "decoded meanwhile, " + M.causeWords(culprit.cause) + where;
	};

	// One bar, split by cause.
	const bar = (stall, meaning) => {
		const parts = Object.entries(stall.causes_ns).sort((a, b) => b[1] - a[1]);
		const holder = h("div", {
			class: "bar",
			role: "img",
			"aria-label":
				"Where the time went: " + parts.map(([cause, ns]) => M.causeWords(cause) + " " + M.ns(ns)).join(", "),
		});
		const pieces = parts.map(([cause, ns]) => {
			const piece = h("span", {});
			piece.style.flexGrow = ns;
			holder.append(piece);
			return [piece, cause];
		});
		const draw = () =>
			pieces.forEach(([piece, cause]) => {
				piece.style.background = M.background(M.causeColor(cause), M.causePattern(cause));
			});
		M.onRedraw(draw);
		draw();
		return [
			holder,
			M.legend(
				parts.slice(0, 5).map(([cause, ns]) => ({
					name: M.causeWords(cause) + " " + M.ns(ns),
					meaning: meaning[cause],
					color: () => M.causeColor(cause),
					pattern: M.causePattern(cause),
				})),
			),
		];
	};

	// What to say of a run that has no late token: where nobody got any, that is no praise.
	M.noneLate = ({ turned_away: away }) => {
		if (!away) return h("p", { class: "good" }, "No token came late.");
		const [lost, all] = away;
		if (lost === all) return h("p", { class: "bad" }, M.allTurnedAway(all));
		return h(
			"p",
			{},
			"No token came late; " + M.count(lost) + " of " + M.count(all) + " requests were turned away and got none.",
		);
	};
	M.allTurnedAway = (all) =>
		all === 1
			? "The only request was turned away: no token came."
			: "All " + M.count(all) + " requests were turned away: no token came.";

	// show(place): look at the stall in the timeline, where there is one.
	M.stallList = (parent, run, meaning, show) => {
		if (!run.stalls.length) {
			parent.append(M.noneLate(run));
			return [];
		}
		const items = run.stalls.map((stall, place) =>
			h(
				"li",
				{ class: "stall", tabindex: -1 },
				h("p", { class: "story" }, M.story(stall, meaning)),
				bar(stall, meaning),
				stall.culprits.length > 0 &&
					h(
						"ul",
						{ class: "culprits" },
						stall.culprits
							.slice(0, 4)
							.map((culprit) =>
								h(
									"li",
									{},
									"by request " + culprit.request + ": " + M.ns(culprit.ns) + " (" + M.byWhom(culprit, stall) + ")",
								),
							),
						(stall.culprits_more > 0 || stall.culprits.length > 4) &&
							h(
								"li",
								{},
								"by " +
									(stall.culprits_more + Math.max(0, stall.culprits.length - 4)) +
									" more: " +
									M.ns(stall.culprits_more_ns + stall.culprits.slice(4).reduce((sum, one) => sum + one.ns, 0)),
							),
					),
				show && h("button", { type: "button", onclick: () => show(place) }, "Show in the timeline"),
			),
		);
		const SHOWN = 4;
		parent.append(h("ol", { class: "stalls" }, items.slice(0, SHOWN)));
		if (items.length > SHOWN)
			parent.append(
				h(
					"details",
					{},
					h("summary", {}, items.length - SHOWN + " more stalls"),
					h("ol", { class: "stalls", start: SHOWN + 1 }, items.slice(SHOWN)),
				),
			);
		return items;
	};

	// Brings a stall into view: all of it, or its beginning where it is taller than that.
	M.reveal = (item) =>
		item.scrollIntoView({ block: item.offsetHeight > window.innerHeight - 64 ? "start" : "nearest" });

	// Columns of a change's figures, beside its name.
	M.cureHead = ["promise", "that stall", "worst stall", "P99 TTFT", "P99 TBT", "tokens/s", "GPUs", "$/h"];
	M.cureCells = (f) => {
		const least = (figure, atLeast) => (figure == null && atLeast != null ? ">= " : "") + M.seconds(figure ?? atLeast);
		const cutOff = f.stall_s == null && f.stall_at_least_s != null;
		return [
			f.promise.kept == null ? "not known" : (f.promise.kept ? "kept " : "broken ") + f.promise.short,
			cutOff ? "> " + M.seconds(f.stall_at_least_s) : M.seconds(f.stall_s),
			f.worst_stall ? M.seconds(f.worst_stall.length_s) : "none",
			least(f.ttft_p99_s, f.ttft_p99_at_least_s),
			least(f.tbt_p99_s, f.tbt_p99_at_least_s),
			f.output_tokens_per_s == null ? "-" : M.digits(f.output_tokens_per_s),
			M.count(f.gpus),
			f.usd_per_hour == null ? "-" : f.usd_per_hour.toFixed(2),
		];
	};
	const EFFECT = {
		keeps_promise: "keeps the promise",
		nearer_to_promise: "nearer to the promise",
		shorter_stall: "a shorter stall",
		more_tokens: "more tokens a second",
		moved_stall: "the stall only moved",
		none: "no help",
		further_from_promise: "further from the promise",
		breaks_promise: "breaks the promise",
	};
	// What a change does, what it gives up, and what could not be held fixed beside it.
	M.cureEffect = (tried) =>
		[EFFECT[tried.effect], tried.gives_up && "gives up " + tried.gives_up, ...(tried.not_held || [])]
			.filter(Boolean)
			.join("; ");
	M.cureVerdict = (cures) => {
		const best = cures.best == null ? null : cures.tried[cures.best];
		if (cures.keeps_promise) return "The promise is kept: nothing has to change. These are options, with their price.";
		return best
			? best.change + " helps most (" + EFFECT[best.effect] + "): " + best.why + "."
			: "Nothing tried helps: no change brings the promise nearer, or makes that stall a tenth shorter.";
	};

	M.cures = (parent, cures) => {
		parent.append(
			h("p", {}, M.unbroken(M.cureVerdict(cures))),
			M.table(
				"What would have helped " + cures.label,
				["change", ...M.cureHead, "effect"],
				cures.tried.map((tried) => [
					tried.change,
					...M.cureCells(tried.figures),
					tried.set.length ? M.cureEffect(tried) : "",
				]),
			),
		);
		if (cures.notes.length)
			parent.append(
				h(
					"ul",
					{ class: "hint" },
					cures.notes.map((note) => h("li", {}, note + ".")),
				),
			);
		const sets = cures.tried.filter((tried) => tried.set.length);
		if (sets.length)
			parent.append(
				h("p", { class: "hint" }, "To run one yourself:"),
				h(
					"pre",
					{ tabindex: 0 },
					sets.map((tried) => tried.set.map((one) => "--set '" + one + "'").join(" ")).join("\n"),
				),
			);
	};
})();
