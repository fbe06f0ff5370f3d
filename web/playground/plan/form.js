// What is asked: model, GPUs, traffic and promise, each control with what is wrong with it beside it.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const idOf = (name) => "plan-" + name;

	// A control with its label, a word about it, and room for what is wrong.
	const field = (name, label, control, about) => {
		const wrong = h("p", { class: "wrong", id: idOf(name) + "-wrong", hidden: true });
		control.id = idOf(name);
		control.setAttribute("aria-describedby", wrong.id);
		return h(
			"div",
			{ class: "dial" },
			h("label", { for: control.id }, label),
			control,
			about && h("p", { class: "why" }, about),
			wrong,
		);
	};
	const typed = (size) => h("input", { type: "text", size, autocomplete: "off", spellcheck: "false" });
	const menu = (options) =>
		h(
			"select",
			{},
			options.map(([value, text]) => h("option", { value }, text)),
		);

	P.planForm = (form, catalog, changed) => {
		const inputs = {
			model: menu(catalog.models.map((one) => [one.name, one.name])),
			prompt: typed(8),
			output: typed(8),
			shared_prefix: typed(8),
			ttft: typed(8),
			tokens_per_s: typed(8),
			load: menu([
				["rate", "requests/s"],
				["users", "users"],
			]),
			amount: typed(8),
			think_time: typed(8),
			share: typed(8),
			price: typed(24),
			tp: typed(12),
			dtype: typed(12),
			seeds: typed(4),
			seed: typed(8),
		};
		const gpus = catalog.gpus.map((one) => h("input", { type: "checkbox", name: "gpus", value: one.name }));
		const chosen = h("p", { class: "why" });
		const gpusWrong = h("p", { class: "wrong", id: idOf("gpus") + "-wrong", hidden: true });
		const choice = h(
			"fieldset",
			{ class: "gpus", "aria-describedby": gpusWrong.id },
			h("legend", {}, "GPUs to choose from"),
			h(
				"div",
				{ class: "gpu-list", tabindex: 0, role: "group", "aria-label": "GPUs of the catalogue" },
				gpus.map((box, k) => h("label", { title: catalog.gpus[k].description }, box, box.value)),
			),
			chosen,
			gpusWrong,
		);
		const think = field(
			"think_time",
			"A user's pause",
			inputs.think_time,
			"between an answer and the next; 10s unless given",
		);
		const group = (title, ...fields) =>
			h("fieldset", {}, h("legend", {}, title), h("div", { class: "plan-fields" }, fields));
		form.append(
			h(
				"div",
				{ class: "plan-form" },
				group("Model", field("model", "Name", inputs.model), choice),
				group(
					"Traffic",
					field("load", "Load", inputs.load),
					field("amount", "Requests/s", inputs.amount),
					think,
					field("prompt", "Prompt tokens", inputs.prompt),
					field("output", "Output tokens", inputs.output),
					field("shared_prefix", "Shared prefix", inputs.shared_prefix, "tokens that all prompts begin with"),
				),
				group(
					"Promise",
					field("ttft", "First token within", inputs.ttft, "P99, such as 600ms; or p95=1s"),
					field("tokens_per_s", "Tokens per second", inputs.tokens_per_s, "that a reader sees"),
					h(
						"details",
						{ class: "plan-more" },
						h("summary", {}, "More"),
						field("share", "Share of requests whose text flows", inputs.share, "99% unless given"),
						field("tp", "Tensor parallelism", inputs.tp, "such as 1,2; all that fit a node unless given"),
						field("dtype", "Number formats", inputs.dtype, "such as bf16,fp8; the model's own and fp8 unless given"),
						field("price", "Prices", inputs.price, "dollars a GPU and hour in place of the catalogue's: l40s=0.9"),
						field("seeds", "Seeds", inputs.seeds, "runs that must all hold: 3 unless given"),
						field("seed", "First seed", inputs.seed),
					),
				),
			),
		);

		const named = () => gpus.filter((box) => box.checked).map((box) => box.value);
		// What hangs on other controls.
		const follow = () => {
			chosen.textContent = named().length ? "Chosen: " + named().join(", ") + "." : "";
			const users = inputs.load.value === "users";
			think.hidden = !users;
			form.querySelector(`label[for=${idOf("amount")}]`).textContent = users ? "Users" : "Requests/s";
		};
		const DIRECT = Object.keys(inputs).filter((name) => !["load", "amount", "think_time"].includes(name));
		let timer = null;
		form.addEventListener("input", () => {
			follow();
			clearTimeout(timer);
			timer = setTimeout(changed, 250);
		});
		return {
			values: () => {
				const asked = Object.fromEntries(DIRECT.map((name) => [name, inputs[name].value.trim()]));
				asked[inputs.load.value] = inputs.amount.value.trim();
				if (inputs.load.value === "users") asked.think_time = inputs.think_time.value.trim();
				asked.gpus = named().join(",");
				return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== ""));
			},
			fill: (asked) => {
				DIRECT.forEach((name) => {
					inputs[name].value = asked[name] || "";
				});
				inputs.load.value = asked.users ? "users" : "rate";
				inputs.amount.value = asked.users || asked.rate || "";
				inputs.think_time.value = asked.think_time || "";
				const given = (asked.gpus || "").split(",");
				gpus.forEach((box) => {
					box.checked = given.includes(box.value) || given.includes("all");
				});
				form.querySelector("details").open = ["share", "tp", "dtype", "price", "seeds", "seed"].some(
					(one) => asked[one],
				);
				follow();
			},
			// Says beside each control what is wrong with it; true where all is said.
			mark: (problems) => {
				const said = new Map(problems.map((one) => [["rate", "users"].includes(one.path) ? "amount" : one.path, one]));
				form.querySelectorAll(".wrong").forEach((/** @type {HTMLElement} */ wrong) => {
					const name = wrong.id.slice(idOf("").length, -"-wrong".length),
						one = said.get(name),
						control = inputs[name] || choice;
					wrong.hidden = !one;
					wrong.textContent = one ? M.unbroken(one.message + (one.help ? ". " + one.help : "")) : "";
					if (inputs[name]) control.setAttribute("aria-invalid", String(Boolean(one)));
					if (one?.path && wrong.closest("details")) wrong.closest("details").open = true;
				});
			},
			// To the first control that cannot be taken.
			focusWrong: () => {
				const wrong = form.querySelector(".wrong:not([hidden])");
				/** @type {HTMLElement} */ (wrong?.parentElement.querySelector("input, select"))?.focus();
			},
		};
	};

	// A question like the scenario on the page, as far as a form can have it.
	P.planDefaults = (answer, catalog) => {
		const asked = {
			model: "llama-3.1-8b",
			gpus: "h100-sxm,l40s",
			prompt: "2000",
			output: "200",
			shared_prefix: "",
			ttft: "1s",
			tokens_per_s: "30",
			rate: "20",
		};
		if (!answer) return asked;
		const has = (list, name) => list.some((one) => one.name === name);
		const { model, gpu, workload } = answer.scenario;
		if (has(catalog.models, model)) asked.model = model;
		if (has(catalog.gpus, gpu)) asked.gpus = [...new Set([gpu, "h100-sxm", "l40s"])].join(",");
		const dial = (id, path) => {
			const one = answer.dials.find((dial) => dial.id === id);
			return one?.path && path.test(one.path) ? one.value : null;
		};
		const take = (name, value) => {
			if (value != null) asked[name] = String(value);
		};
		take("rate", dial("rate", /arrivals\..*rate$/));
		take("prompt", dial("prompt", /./));
		take("output", dial("output", /./));
		const ttft = dial("ttft", /ttft$/),
			tbt = dial("tbt", /./);
		take("ttft", ttft && ttft + "ms");
		take("tokens_per_s", dial("pace", /./) ?? (tbt && Number((1000 / tbt).toPrecision(4))));
		const groups = workload?.prefix_groups;
		take("shared_prefix", groups?.count === 1 ? groups.tokens : null);
		return asked;
	};
})();
