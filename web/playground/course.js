// A lesson's steps: one idea a screen, and beside it, in the page's own parts, what its words speak of.
(() => {
	const P = Play,
		M = Metron,
		h = M.h;
	const by = (id) => document.getElementById(id);
	const picture = /** @type {HTMLElement} */ (document.querySelector(".columns")),
		fold = /** @type {HTMLDetailsElement} */ (by("settings-fold"));
	let steps = [],
		items = [],
		at = null,
		timer = null,
		// The reader scrolls by a key or a button: steps on the way are not shown.
		moving = null,
		folded = false,
		ended = null;

	/* ---- the picture ---- */
	const parts = () => document.querySelectorAll("#drawn > section, #yaml");
	// What of a part should be in sight where the part is taller than its place.
	const PLOTS = ["ttft", "tbt", "tpot", "fluidity", "e2e"];
	const core = ({ id, figures, lane }) => {
		const part = by(id),
			all = (what) => /** @type {HTMLElement[]} */ ([...part.querySelectorAll(what)].filter((one) => one.offsetHeight));
		if (id === "figures") return all("tr.meant");
		const plot = PLOTS.indexOf((figures[0] || "").split(/_s\.|\./)[0]);
		if (id === "curves" && plot >= 0) return all(".grid > *").slice(plot, plot + 1);
		return lane ? all("p.lane").slice(lane) : all("h3, canvas, .plot");
	};
	let aimed = null;
	const aim = () => {
		if (!aimed) return;
		const found = core(aimed);
		if (!found.length) return;
		const box = picture.getBoundingClientRect(),
			last = found[found.length - 1].getBoundingClientRect(),
			top = picture.scrollTop + found[0].getBoundingClientRect().top - box.top - 8;
		if (last.bottom + picture.scrollTop - box.top > picture.clientHeight) picture.scrollTop = top;
	};
	const stage = (id, step) => {
		parts().forEach((part) => part.classList.toggle("staged", part.id === id));
		picture.scrollTop = 0;
		aimed = { id, figures: step?.figures || [], lane: step?.lane };
		aim();
	};
	// What is drawn late moves what is in sight; whoever scrolls in the picture has their way.
	if (window.ResizeObserver) new ResizeObserver(aim).observe(by("results"));
	["wheel", "touchstart", "pointerdown", "keydown"].forEach((own) =>
		picture.addEventListener(
			own,
			() => {
				aimed = null;
			},
			{ passive: true },
		),
	);
	// Leads to a part of the page: beside a lesson's words it takes the place of the one that is there.
	P.part = (id) => {
		if (at === null) by(id).scrollIntoView({ block: "start" });
		else stage(id);
	};

	/* ---- steps ---- */
	// kept: the link that was opened says where the plots stand.
	const show = (kept) => {
		const step = steps[at],
			own = steps.map((one) => one.answer.text);
		P.meant = step.figures;
		// What the reader made of "try next" stays until another step is read.
		const other = step.answer.text !== P.text() && !(step.free && !own.includes(P.text()));
		if (other && !kept) P.taken(step.answer, own.includes(P.text()));
		else if (P.answer) P.figures(P.answer);
		stage(P.partOf(step.show), step);
		if (P.answer && !kept) P.look(step, P.answer);
		aim();
	};
	const enter = (to, how) => {
		at = to;
		items.forEach((item, k) => {
			if (k === to) item.setAttribute("aria-current", "step");
			else item.removeAttribute("aria-current");
		});
		clearTimeout(timer);
		if (how === "scrolled") timer = setTimeout(show, 80);
		else show(how === "kept");
	};
	// Where words are read: a third below the top of their room.
	const margin = () =>
		Number.parseFloat(getComputedStyle(items[0]).scrollMarginTop) +
		Number.parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop);
	const read = () => {
		const line = margin() + (window.innerHeight - margin()) * 0.35;
		return Math.max(
			0,
			items.findLastIndex((item) => item.getBoundingClientRect().top <= line),
		);
	};
	const land = () => {
		clearTimeout(moving);
		moving = null;
	};
	const scrolled = () => {
		const to = read();
		if (moving !== null || to === at) return;
		P.note();
		enter(to, "scrolled");
		P.stands();
	};
	// how: "kept" and "opened" for a link, nothing for the reader's own move.
	const go = (to, how) => {
		land();
		moving = setTimeout(land, how ? 100 : 1500);
		items[to].scrollIntoView({ block: "start", behavior: how || M.calm() ? "auto" : "smooth" });
		enter(to, how);
		if (how) return;
		items[to].focus({ preventScroll: true });
		P.stands(true);
	};
	const key = (event) => {
		const by = { PageDown: 1, ArrowRight: 1, PageUp: -1, ArrowLeft: -1 }[event.key];
		if (!by || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
		if (document.body.classList.contains("planning")) return;
		if (event.target.closest("input, textarea, select, .scroll, .columns, header")) return;
		// A step that is not read yet, or was left halfway, comes first.
		const off = items[at].getBoundingClientRect().top - margin(),
			to = off * by > 40 ? at : at + by;
		if (!items[to]) return;
		event.preventDefault();
		go(to);
	};
	const end = () => {
		if (at === null) return;
		ended.abort();
		clearTimeout(timer);
		land();
		at = aimed = P.meant = null;
		document.body.classList.remove("learning");
		parts().forEach((part) => part.classList.remove("staged"));
		picture.scrollTop = 0;
		fold.open = folded;
		if (P.answer) P.figures(P.answer);
	};
	P.course = {
		// steps: what is said, what is shown beside it and under which answer.
		begin: (holder, list, to, how) => {
			end();
			steps = list;
			ended = new AbortController();
			const { signal } = ended;
			items = steps.map((step, k) =>
				h(
					"li",
					{ class: "course-step", tabindex: -1 },
					h(
						"p",
						{ class: "hint" },
						k + 1 + " of " + steps.length,
						h("span", { class: "sr" }, ", beside it: " + by(P.partOf(step.show) + "-h").textContent),
					),
					step.said,
					k + 1 < steps.length &&
						h("button", { type: "button", "aria-label": "Next step", onclick: () => go(k + 1) }, "Next \u2193"),
				),
			);
			holder.replaceChildren(h("ol", { class: "course" }, items));
			folded = fold.open;
			fold.open = false;
			document.body.classList.add("learning");
			window.addEventListener("scroll", () => requestAnimationFrame(() => at !== null && scrolled()), { signal });
			// On a phone the window gets taller and shorter while one scrolls.
			let wide = window.innerWidth;
			window.addEventListener(
				"resize",
				() => {
					if (wide !== window.innerWidth) go(at, "kept");
					wide = window.innerWidth;
				},
				{ signal },
			);
			document.addEventListener("scrollend", land, { signal });
			["wheel", "touchmove"].forEach((own) => document.addEventListener(own, land, { signal, passive: true }));
			document.addEventListener("keydown", key, { signal });
			// A pointer's click must find its button where it was.
			holder.addEventListener(
				"focusin",
				({ target }) => {
					if (!(target instanceof Element) || !target.matches(":focus-visible")) return;
					const to = items.findIndex((item) => item !== target && item.contains(target));
					if (to >= 0 && to !== at) {
						go(to, "opened");
						P.stands();
					}
				},
				{ signal },
			);
			if (how) go(to, how);
			else enter(to, how);
		},
		end,
		go: (to, kept) => go(Math.min(to, steps.length - 1), kept ? "kept" : "opened"),
		// The step that is read; null where there is none.
		step: () => at,
	};
})();
