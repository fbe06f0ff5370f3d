// Tables: the figures of a plot for those who would rather read them, or must.
(() => {
	const M = Metron,
		h = M.h;

	// Columns of sentences break into lines; figures never do.
	const LONG = 24;

	// rows: arrays of text, the first cell names the row.
	M.table = (caption, head, rows) => {
		const kind = head.map((_, place) =>
			place > 0 && rows.some((row) => String(row[place] ?? "").length > LONG) ? "long" : null,
		);
		return h(
			"div",
			{ class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
			h(
				"table",
				{},
				h("caption", {}, caption),
				h(
					"thead",
					{},
					h(
						"tr",
						{},
						head.map((text, place) => M.breakable(h("th", { scope: "col", class: kind[place] }, text), true)),
					),
				),
				h(
					"tbody",
					{},
					rows.map((row) =>
						h(
							"tr",
							{},
							row.map((text, place) =>
								place === 0
									? M.breakable(h("th", { scope: "row" }, M.unbroken(String(text))))
									: h("td", { class: kind[place] }, text),
							),
						),
					),
				),
			),
		);
	};

	// The same, folded away, and filled only when it is opened.
	M.details = (summary, caption, head, rows) => {
		const details = h(
			"details",
			{ class: "numbers" },
			h("summary", {}, summary, h("span", { class: "sr" }, ": " + caption)),
		);
		details.addEventListener("toggle", () => {
			if (details.open && details.children.length === 1) details.append(M.table(caption, head, rows()));
		});
		return details;
	};

	// The value of a distribution at a share.
	M.quantile = (cdf, share) => {
		if (!cdf) return null;
		const place = cdf.share.findIndex((s) => s >= share - 1e-12);
		return cdf.value[place < 0 ? cdf.value.length - 1 : place];
	};

	// A name with parameters may be broken between its parts, where a column is narrow.
	M.breakable = (element, tight) => {
		[...element.childNodes]
			.filter((node) => node.nodeType === 3)
			.forEach((node) =>
				node.replaceWith(
					...node.nodeValue
						.split(tight ? /(?=\()|(?<=[_,.])/ : /(?=\()|(?<=,)/)
						.flatMap((part, k) => (k ? [document.createElement("wbr"), part] : [part])),
				),
			);
		return element;
	};

	M.figuresTable = (element) => {
		element.querySelectorAll("th[data-run]").forEach((/** @type {HTMLTableCellElement} */ head) => {
			const place = Number(head.dataset.run);
			M.breakable(head, head.scope === "col");
			head.prepend(M.swatch(() => M.runColor(place)));
		});
	};
})();
