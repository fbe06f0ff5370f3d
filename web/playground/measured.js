// A result file of a benchmark client: read and judged here, its distributions beside the simulated ones.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const MOST = 60 << 20;
	const body = document.getElementById("measured-body");
	let found = null,
		answer = null,
		file = null;
	const input = h("input", { type: "file", "aria-label": "Result file", accept: ".json,.jsonl,.csv,.txt,.parquet" });
	const bound = (label, placeholder) => h("input", { type: "text", size: 8, placeholder, "aria-label": label });
	const ttft = bound("First token due within", "its own"),
		tbt = bound("Each further token due within", "its own");
	const said = h("p", { role: "status", class: "hint" }),
		shown = h("div", {});
	const zone = h(
		"div",
		{ class: "drop" },
		h("p", {}, "Drop a file here, or choose one: ", input),
		h(
			"div",
			{ class: "controls" },
			h("label", {}, "First token due within ", ttft),
			h("label", {}, "each further one within ", tbt),
		),
		h(
			"p",
			{ class: "hint" },
			P.data.mode === "server"
				? "The file goes to the program that serves this page, on its machine, and is kept nowhere; files of more than 1.5 MB need `metron-sim evaluate`."
				: "The file stays in this page: nothing is sent anywhere.",
		),
	);
	body.append(zone, said, shown);

	const draw = () => {
		M.empty(shown);
		if (!found || !answer) return;
		const runs = [...answer.runs, ...found.runs];
		shown.append(
			...found.verdict.map((text) => h("p", {}, M.unbroken(text))),
			M.table(
				"What was measured, and what is simulated",
				["", ...found.runs.map((run) => run.label), ...answer.runs.map((run) => "simulated: " + run.label)],
				found.figures
					.filter((figure) => !figure.path.startsWith("classes.") && P.figureTexts(figure).some((text) => text !== "-"))
					.map((figure) => {
						const own = answer.figures.find((one) => one.path === figure.path);
						return [figure.name, ...P.figureTexts(figure), ...(own ? P.figureTexts(own) : answer.runs.map(() => "-"))];
					}),
			),
		);
		if (found.left_out)
			shown.append(h("p", { class: "hint" }, found.left_out + " more runs of the file are not drawn."));
		if (found.runs.some((run) => run.ttft || run.tbt || run.fluidity)) M.distributions(shown, runs);
		else
			shown.append(
				...[...new Set(found.runs.map((run) => M.absent(run, "distributions")?.why).filter(Boolean))].map((why) =>
					h("p", { class: "absent" }, "No distributions: " + why + "."),
				),
			);
		if (found.warnings.length)
			shown.append(
				h(
					"details",
					{},
					h("summary", {}, found.warnings.length === 1 ? "1 remark" : found.warnings.length + " remarks"),
					h(
						"ul",
						{ class: "setup" },
						found.warnings.map((text) => h("li", {}, M.unbroken(text))),
					),
				),
			);
	};
	const read = async () => {
		if (!file) return;
		const own = file;
		if (own.size > MOST) {
			said.textContent = own.name + " is larger than a page reads; `metron-sim evaluate` reads files of any size.";
			return;
		}
		said.textContent = "Reading " + own.name + ".";
		const promise = Object.fromEntries(
			[
				["ttft", ttft.value.trim()],
				["tbt", tbt.value.trim()],
			].filter(([, text]) => text),
		);
		const told = await P.ask({ op: "evaluate", name: own.name, text: await own.text(), promise });
		if (own !== file) return;
		found = told.ok ? told : null;
		said.textContent = told.ok
			? own.name + ", read as " + told.format + "."
			: told.problems
					.map((one) => (one.path ? one.path + ": " : "") + one.message + (one.help ? " (" + one.help + ")" : ""))
					.join("; ");
		draw();
	};
	const take = (list) => {
		if (!list?.length) return;
		[file] = list;
		read();
	};
	input.addEventListener("change", () => take(input.files));
	[ttft, tbt].forEach((one) => one.addEventListener("change", read));
	// Anywhere on the page: nobody aims well.
	window.addEventListener("dragover", (event) => {
		if (![...event.dataTransfer.types].includes("Files")) return;
		event.preventDefault();
		zone.classList.add("over");
	});
	window.addEventListener("dragleave", (event) => {
		if (!event.relatedTarget) zone.classList.remove("over");
	});
	window.addEventListener("drop", (event) => {
		if (!event.dataTransfer.files.length) return;
		event.preventDefault();
		zone.classList.remove("over");
		take(event.dataTransfer.files);
		P.part("measured");
	});
	P.measured = {
		draw: (to) => {
			answer = to;
			draw();
		},
	};
})();
