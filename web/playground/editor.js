// The scenario as text, with problems at their lines.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const area = h("textarea", {
		spellcheck: "false",
		autocapitalize: "off",
		autocomplete: "off",
		"aria-label": "The scenario, YAML",
		wrap: "off",
	});
	const gutter = h("pre", { class: "gutter", "aria-hidden": "true" });
	document.getElementById("editor").append(h("div", { class: "editor" }, gutter, area));
	let wrong = new Set(),
		lines = 0;
	const number = () => {
		lines = area.value.split("\n").length;
		gutter.replaceChildren();
		const parts = [];
		let plain = "";
		for (let line = 1; line <= lines; line++) {
			if (wrong.has(line)) {
				parts.push(plain, h("span", { class: "wrong" }, "\u2717" + line));
				plain = "\n";
			} else plain += line + "\n";
		}
		gutter.append(...parts, plain);
		gutter.scrollTop = area.scrollTop;
	};
	area.addEventListener("scroll", () => {
		gutter.scrollTop = area.scrollTop;
	});
	let timer = null;
	area.addEventListener("input", () => {
		number();
		clearTimeout(timer);
		timer = setTimeout(() => P.load(area.value, true), 350);
	});
	if (window.ResizeObserver)
		new ResizeObserver(() => {
			gutter.style.height = area.offsetHeight + "px";
		}).observe(area);
	P.editor = {
		area,
		// Typing goes on while answers come: the text stays as typed.
		show: (text) => {
			const same = document.activeElement === area || area.value === text;
			if (!same) area.value = text;
			if (!same || wrong.size || !lines) P.editor.mark([]);
		},
		mark: (places) => {
			wrong = new Set(places);
			number();
		},
		goto: (line, column) => {
			const before =
				area.value
					.split("\n")
					.slice(0, line - 1)
					.join("\n").length + (line > 1 ? 1 : 0);
			area.focus();
			area.setSelectionRange(
				before + Math.max(0, (column || 1) - 1),
				area.value.indexOf("\n", before) < 0 ? area.value.length : area.value.indexOf("\n", before),
			);
			area.scrollTop = Math.max(0, (line - 6) * 19.5);
		},
	};

	// Links and files.
	const note = document.getElementById("yaml-note");
	const link = h("input", { class: "link", readonly: true, hidden: true, "aria-label": "What to copy" });
	const offer = async (text, what, address) => {
		link.hidden = false;
		link.value = text;
		link.select();
		try {
			await navigator.clipboard.writeText(text);
			note.textContent = what + " is copied.";
		} catch (_) {
			note.textContent = what + " stands above, to be copied.";
		}
		note.textContent += " It holds the whole scenario, and where the page stands.";
		if (P.isOwn(address))
			note.textContent +=
				" Nobody else can open it: it leads to " +
				(address.startsWith("file:") ? "a file" : "a server") +
				" on this machine. To others, send the scenario (\u201cDownload\u201d), or put a page that `metron-sim serve --export` writes where they can reach it.";
	};
	P.share = async () => {
		const address = await P.address(null);
		await offer(address, "The link", address);
	};
	P.embedCode = async () => {
		const address = await P.address(["readers", "timeline"]);
		await offer(
			'<iframe src="' +
				address.replaceAll("&", "&amp;") +
				'" width="100%" height="720" loading="lazy" title="metron-sim playground"></iframe>',
			"Code for a page of yours",
			address,
		);
		if (P.data.mode === "server")
			note.textContent +=
				" Other pages can show it once it is exported (`metron-sim serve --export`): this server refuses frames.";
	};
	P.download = () => {
		M.save("scenario.yaml", new Blob([P.text()], { type: "text/yaml" }));
		note.textContent = "Saved as scenario.yaml. Run it with: metron-sim run scenario.yaml";
	};
	document
		.getElementById("yaml-tools")
		.append(
			h("button", { type: "button", onclick: P.share }, "Copy a link to this"),
			h("button", { type: "button", onclick: P.embedCode }, "Copy code to embed"),
			h("button", { type: "button", onclick: P.download }, "Download"),
			link,
		);
})();
