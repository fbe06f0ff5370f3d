// Sliders and menus. Each sets one field of the scenario.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const GROUPS = [
		["load", "Load"],
		["hardware", "Hardware"],
		["promise", "Promise (SLO)"],
	];
	const STEPS = 1000;
	let numbered = 0;
	// Words that stay as they are need not be laid out again.
	const write = (element, text) => {
		if (element.textContent !== text) element.textContent = text;
	};

	const rounded = (dial, value) => {
		if (dial.whole || value >= 100) return Math.round(value);
		return Number(value.toPrecision(2));
	};
	const place = (dial, value) => {
		const [low, high] = dial.range;
		const share = dial.ratio ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
		return Math.round(Math.max(0, Math.min(1, share || 0)) * STEPS);
	};
	const valueAt = (dial, at) => {
		const [low, high] = dial.range,
			share = at / STEPS;
		return rounded(dial, dial.ratio ? low * (high / low) ** share : low + (high - low) * share);
	};

	// What the schedulers' own names for the same two things mean.
	const MEANING = {
		budget: "token budget: the most tokens of one iteration",
		seats: "seats: the most requests served at once",
	};

	// One control, kept across answers so that a drag goes on: its parts and how to set it.
	const slider = (holder) => {
		const id = "dial-" + ++numbered;
		let dial = null;
		const range = h("input", { type: "range", min: 0, max: STEPS, id });
		const number = h("input", { type: "number", step: "any" });
		const unit = h("span", { class: "unit", "aria-hidden": "true" });
		const label = h("label", { for: id });
		const send = (value) => P.change([dial.path + "=" + value + dial.unit]);
		const say = (value) => range.setAttribute("aria-valuetext", value + (dial.unit ? " " + dial.unit : ""));
		range.addEventListener("input", () => {
			const value = valueAt(dial, Number(range.value));
			number.value = value;
			say(value);
			send(value);
		});
		range.addEventListener("keydown", (event) => {
			// One key press is one step that can be seen: whole numbers, or two percent.
			const up = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
			if (!up) return;
			event.preventDefault();
			const now = Number(number.value),
				[low, high] = dial.range;
			const step = dial.ratio ? Math.max(dial.whole ? 1 : 0, now * 0.05) : 1;
			const value = rounded(dial, Math.max(low, Math.min(high, now + up * step)));
			number.value = value;
			range.value = place(dial, value);
			say(value);
			send(value);
		});
		number.addEventListener("change", () => {
			if (number.value.trim() !== "") {
				send(number.value.trim());
			}
		});
		const meaning = h("p", { class: "why" });
		holder.append(label, h("div", { class: "row" }, range, number, unit), meaning);
		return (to) => {
			dial = to;
			write(label, to.label);
			number.setAttribute("aria-label", to.label + ", exactly" + (to.unit ? ", " + to.unit : ""));
			write(unit, to.unit);
			write(meaning, MEANING[to.id] || "");
			meaning.hidden = !MEANING[to.id];
			const busy = document.activeElement === range && P.isBusy();
			if (!busy && document.activeElement !== number) number.value = to.value;
			if (!busy) {
				range.value = place(to, Number(to.value));
				say(to.value);
			}
		};
	};
	const menu = (holder) => {
		const id = "dial-" + ++numbered;
		let dial = null;
		const select = h("select", { id }),
			label = h("label", { for: id });
		const why = h("p", { class: "why" });
		select.addEventListener("change", () => P.change([dial.path + "=" + select.value]));
		holder.append(label, select, why);
		return (to) => {
			dial = to;
			write(label, to.label);
			const options = to.why ? ["", ...to.choices] : to.choices;
			if ([...select.options].map((one) => one.value).join() !== options.join())
				select.replaceChildren(
					...options.map((name) => h("option", { value: name, disabled: name === "" }, name || "(own figures)")),
				);
			select.value = to.why ? "" : to.value;
			write(why, to.why ? "Now " + to.why + "." : to.note ? to.note + "." : "");
		};
	};
	const stuck = (holder) => {
		const label = h("span", {}),
			why = h("p", { class: "why" }),
			button = h("button", { type: "button" }, "Draw from a distribution instead");
		let dial = null;
		button.addEventListener("click", () => P.change(dial.free));
		holder.append(h("label", {}, label), why, button);
		return (to) => {
			dial = to;
			write(label, to.label);
			write(why, "Not a slider here: " + to.why + ".");
			button.hidden = !to.free.length;
		};
	};

	// Keeps one element for each key, in order.
	const keeper = (parent, tag, attributes) => {
		const kept = new Map();
		return (items, keyOf, make) => {
			const keys = items.map(keyOf);
			for (const [key, one] of kept)
				if (!keys.includes(key)) {
					one.holder.remove();
					kept.delete(key);
				}
			items.forEach((item, at) => {
				const key = keys[at];
				if (!kept.has(key)) {
					const holder = h(tag, attributes || {});
					kept.set(key, { holder, set: make(item, holder) });
				}
				const one = kept.get(key);
				if (parent.children[at] !== one.holder) parent.insertBefore(one.holder, parent.children[at] || null);
				one.set(item);
			});
		};
	};
	const kindOf = (dial) => dial.id + (dial.path === null ? "!" : dial.choices.length ? "m" : "s");
	const makeDial = (dial, holder) =>
		dial.path === null ? stuck(holder) : dial.choices.length ? menu(holder) : slider(holder);

	P.settings = (form, catalog) => {
		form.addEventListener("submit", (event) => event.preventDefault());
		const start = h("fieldset", {}, h("legend", {}, "Scenario"));
		const scenarios = h(
			"select",
			{ id: "scenario-menu", "aria-label": "Scenario to begin with" },
			h("option", { value: "" }, "your own (text below)"),
			catalog.scenarios
				.filter((one) => one.name !== "azure-conv")
				.map((one) => h("option", { value: one.name }, one.name)),
		);
		const about = h("p", { class: "summary" });
		scenarios.addEventListener("change", () => {
			const one = catalog.scenarios.find((other) => other.name === scenarios.value);
			about.textContent = one ? one.description : "";
			if (one) P.load(one.text);
		});
		start.append(scenarios, about);
		const schedulers = h("div", {}),
			groups = h("div", {});
		form.append(start, schedulers, groups);

		const entries = keeper(schedulers, "fieldset");
		const makeScheduler = (entry, holder) => {
			const title = h("span", {}),
				id = "dial-" + ++numbered;
			const swatch = h("span", {});
			let sampled = null;
			const select = h(
				"select",
				{ id },
				entry.choices.map((name) => h("option", { value: name }, name)),
			);
			const summary = h("p", { class: "summary" }),
				holders = h("div", {}),
				dials = keeper(holders, "div", { class: "dial" });
			const act = h("div", { class: "controls" });
			let place = entry.place;
			select.addEventListener("change", () => P.change(["schedulers." + place + "={" + select.value + ": {}}"]));
			holder.append(
				h("legend", {}, swatch, title),
				h("div", { class: "dial" }, h("label", { for: id }, "Scheduler"), select),
				summary,
				holders,
				act,
			);
			return ({ to, run, all, answer }) => {
				place = to.place;
				if (sampled !== run) {
					sampled = run;
					swatch.replaceChildren(M.swatch(() => M.runColor(run)));
				}
				write(title, all > 1 ? "Scheduler " + "AB"[run] : "Scheduler");
				select.value = to.name;
				write(summary, to.summary);
				dials(to.dials, (dial) => kindOf(dial) + dial.label, makeDial);
				const offered = JSON.stringify([run, all, answer.add, answer.remove, answer.schedulers, answer.shown]);
				if (act.dataset.offered === offered) return;
				act.dataset.offered = offered;
				act.replaceChildren();
				const last = run === all - 1;
				if (last && answer.add)
					act.append(h("button", { type: "button", onclick: () => P.change([answer.add]) }, "Compare with another"));
				if (last && answer.remove && all > 1)
					act.append(h("button", { type: "button", onclick: () => P.change([answer.remove]) }, "Play the first alone"));
				if (last && answer.schedulers.length > 2) {
					const others = h(
						"select",
						{ "aria-label": "Which to play beside the first" },
						answer.schedulers.map((label, at) =>
							h("option", { value: at, disabled: at === answer.shown[0], selected: at === answer.shown[1] }, label),
						),
					);
					others.addEventListener("change", () => P.show([answer.shown[0], Number(others.value)]));
					act.append(others);
				}
			};
		};
		const sets = keeper(groups, "fieldset");
		const makeGroup = (group, holder) => {
			const inside = h("div", {}),
				dials = keeper(inside, "div", { class: "dial" });
			holder.append(h("legend", {}, group.name), inside);
			return (to) => dials(to.dials, kindOf, makeDial);
		};
		return {
			draw: (answer) => {
				const all = answer.scheduler_dials.length;
				entries(
					answer.scheduler_dials.map((to, run) => ({ to, run, all, answer, choices: to.choices, place: to.place })),
					(one) => one.run,
					makeScheduler,
				);
				sets(
					GROUPS.map(([id, name]) => ({ id, name, dials: answer.dials.filter((dial) => dial.group === id) })),
					(one) => one.id,
					makeGroup,
				);
				const known = catalog.scenarios.find((one) => one.text === answer.text);
				scenarios.value = known ? known.name : "";
			},
		};
	};
})();
